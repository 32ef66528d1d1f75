//! What a repository of the source is called here.

use super::{Halt, ImportOrder};
use packhouse_access::Pattern;
use packhouse_oci::PackageName;

/// Names, as the operator wants them.
#[derive(Debug)]
pub(super) struct Names {
    package: Option<PackageName>,
    to: Option<String>,
    map: Vec<(String, String)>,
    only: Vec<Pattern>,
}

impl Names {
    pub(super) fn of(order: &ImportOrder) -> Result<Self, Halt> {
        let package = order.package.as_deref().map(str::parse::<PackageName>).transpose();
        let package = package.map_err(|why| {
            let given = order.package.as_deref().unwrap_or_default();
            Halt::Ended(format!("`{}` is not the path of a package: {why}", cut(given)))
        })?;
        let only = order.only.iter().map(|text| text.parse::<Pattern>()).collect::<Result<_, _>>();
        let only = only.map_err(|error| Halt::Ended(error.to_string()))?;
        // The longest beginning is the one that is meant.
        let mut map = order.map.clone();
        map.sort_by_key(|(from, _)| std::cmp::Reverse(from.len()));
        Ok(Self { package, to: order.to.clone(), map, only })
    }

    /// Whether a repository is wanted.
    pub(super) fn wants(&self, repository: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|pattern| pattern.matches(repository))
    }

    /// The package that a repository becomes.
    pub(super) fn target(&self, repository: &str) -> Result<PackageName, Halt> {
        if let Some(package) = &self.package {
            return Ok(package.clone());
        }
        let mapped = self.map.iter().find_map(|(from, to)| {
            let rest = repository.strip_prefix(from.trim_end_matches('/'))?;
            let to = to.trim_end_matches('/');
            (rest.is_empty() || rest.starts_with('/')).then(|| format!("{to}{rest}"))
        });
        let name = match (mapped, &self.to) {
            (Some(mapped), _) => mapped,
            (None, Some(to)) => format!("{}/{repository}", to.trim_end_matches('/')),
            (None, None) => repository.to_owned(),
        };
        name.parse().map_err(|why| {
            Halt::Refused(format!(
                "`{}` is no path of a package here: {why}; --to NAMESPACE puts all names below an account, and --map \
                 FROM=TO changes the beginning of some",
                cut(&name)
            ))
        })
    }
}

/// A name of somebody else's, for a message: not longer than one can read, and nothing that moves a terminal.
pub(super) fn cut(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::ImportSource;

    fn names(package: Option<&str>, to: Option<&str>, map: &[(&str, &str)]) -> Names {
        let order = ImportOrder {
            source: ImportSource::Distribution { root: "/".into() },
            package: package.map(str::to_owned),
            to: to.map(str::to_owned),
            map: map.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect(),
            only: vec!["team/*".to_owned(), "alpine".to_owned()],
            acting_as: None,
            visibility: None,
            create_accounts: false,
            dry_run: false,
        };
        Names::of(&order).unwrap()
    }

    #[test]
    fn names_are_put_below_and_their_beginnings_changed() {
        let map = [("library", "mona"), ("library/nginx", "octo/web"), ("team/", "octo/")];
        for (package, to, map, name, here) in [
            (None, None, &[][..], "mona/app/web", Some("mona/app/web")),
            (None, None, &[], "alpine", None),
            (None, Some("mona"), &[], "alpine", Some("mona/alpine")),
            (None, Some("mona/old/"), &[], "team/app", Some("mona/old/team/app")),
            (None, Some("mona"), &map[..], "library/alpine", Some("mona/alpine")),
            (None, Some("mona"), &map, "library/nginx", Some("octo/web")),
            (None, Some("mona"), &map, "library/nginx/x", Some("octo/web/x")),
            (None, Some("mona"), &map, "library-of/x", Some("mona/library-of/x")),
            (None, None, &map, "team/a/b", Some("octo/a/b")),
            (None, None, &map, "team", None),
            (None, Some("mona"), &[], "../../etc", None),
            (None, Some("mona"), &[], "Upper", None),
            (Some("mona/one"), Some("octo"), &[], "anything", Some("mona/one")),
        ] {
            let found = names(package, to, map).target(name);
            assert_eq!(found.ok().map(|name| name.to_string()).as_deref(), here, "{name}");
        }
    }

    #[test]
    fn only_what_a_pattern_means_is_wanted() {
        let names = names(None, None, &[]);
        for (name, wanted) in
            [("team/app/web", true), ("alpine", true), ("alpine2", false), ("teams/x", false)]
        {
            assert_eq!(names.wants(name), wanted, "{name}");
        }
    }
}
