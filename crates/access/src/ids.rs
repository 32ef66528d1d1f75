//! Identifiers: 64-bit, given by the catalog, never used twice.

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// A user or an organization.
    AccountId
}
id! {
    /// A personal access token.
    TokenId
}
id! {
    /// A package: what the OCI specifications call a repository.
    PackageId
}
id! {
    /// The bytes of a manifest with their media type, shared by all packages that hold it.
    ManifestId
}
id! {
    /// A manifest in a package: GitHub's "package version".
    VersionId
}
id! {
    /// A team of an organization.
    TeamId
}
id! {
    /// A repository: a record of a forge's, with its own roles.
    RepositoryId
}
id! {
    /// A rule about tags, or a retention policy.
    RuleId
}
