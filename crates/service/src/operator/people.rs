//! The operator's commands about teams, repositories, policies and the access to packages: the rules of
//! everybody, asked by the operator.

use super::{AccessView, Answer, Command, MemberView, OperatorError, done};
use crate::error::Denied;
use crate::explain::{Explanation, explain};
use crate::manage::{ManageError, lower};
use crate::organizations::{PolicyChange, operate_policy};
use crate::package_access::{self, Grantee};
use crate::repositories::{
    NewRepository, RepositoryChange, change_repository, collaborators, create_repository, delete_repository,
    repositories_of, set_collaborator,
};
use crate::teams::{
    NewTeam, ParentChosen, create_team, delete_team, put_team_member, remove_team_member, set_team_role,
    team_members, teams,
};
use packhouse_access::{Caller, Refusal, RepositoryRole, Visibility};
use packhouse_catalog::{Affiliation, Micros, OrganizationPolicy, Repository, Team, Window, WriteTx};
use packhouse_oci::PackageName;
use serde::{Deserialize, Serialize};

/// Rows that a list shows at the most.
const LIST_MAX: u32 = 10_000;

/// What the operator wants of people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PeopleCommand {
    /// Shows what members of an organization may do, after changing what is given.
    OrgPolicy {
        /// Which.
        org: String,
        /// Visibilities that members may give to packages.
        packages: Option<Vec<String>>,
        /// What a package is when it is made.
        default: Option<String>,
        /// Whether packages that are linked by their first push inherit.
        inherit: Option<bool>,
        /// What members may in each repository; `none` for nothing.
        base_role: Option<String>,
        /// Whether members may make repositories.
        members_create_repositories: Option<bool>,
    },
    /// Lists the teams of an organization.
    TeamList {
        /// Of which.
        org: String,
    },
    /// Makes a team.
    TeamCreate {
        /// In which.
        org: String,
        /// Its name.
        name: String,
        /// What it is for.
        description: Option<String>,
        /// Whether only its members and the owners see it.
        secret: bool,
        /// The slug of the team above it.
        parent: Option<String>,
    },
    /// Deletes a team.
    TeamDelete {
        /// In which.
        org: String,
        /// Its slug.
        team: String,
    },
    /// Lists the members of a team.
    TeamMembers {
        /// In which.
        org: String,
        /// Its slug.
        team: String,
    },
    /// Puts a member of the organization into a team.
    TeamAddMember {
        /// In which.
        org: String,
        /// Its slug.
        team: String,
        /// Whom.
        user: String,
        /// Whether they may change the team.
        maintainer: bool,
    },
    /// Takes somebody out of a team.
    TeamRemoveMember {
        /// In which.
        org: String,
        /// Its slug.
        team: String,
        /// Whom.
        user: String,
    },
    /// Gives a team a role in a repository, or takes it.
    TeamRole {
        /// In which.
        org: String,
        /// Its slug.
        team: String,
        /// The repository's name.
        repository: String,
        /// The role; none takes it.
        role: Option<String>,
    },
    /// Lists the repositories of an owner.
    RepoList {
        /// Whose.
        owner: String,
    },
    /// Makes the record of a repository.
    RepoCreate {
        /// `owner/name`
        path: String,
        /// `private`, `internal` or `public`.
        visibility: String,
        /// What it is.
        description: Option<String>,
    },
    /// Deletes the record of a repository.
    RepoDelete {
        /// `owner/name`
        path: String,
    },
    /// Changes who may see a repository.
    RepoVisibility {
        /// `owner/name`
        path: String,
        /// `private`, `internal` or `public`.
        visibility: String,
    },
    /// Lists who has a role in a repository by name.
    RepoCollaborators {
        /// `owner/name`
        path: String,
    },
    /// Gives somebody a role in a repository, or takes it.
    RepoRole {
        /// `owner/name`
        path: String,
        /// Whom.
        user: String,
        /// The role; none takes it.
        role: Option<String>,
    },
    /// Links a package to a repository of its owner's.
    PackageLink {
        /// Which package.
        path: String,
        /// The repository's name.
        repository: String,
        /// Whether the package inherits the repository's access.
        inherit: bool,
    },
    /// Takes a package's link away.
    PackageUnlink {
        /// Which package.
        path: String,
    },
    /// Switches whether a package inherits the access of its repository.
    PackageInherit {
        /// Which package.
        path: String,
        /// On or off.
        inherit: bool,
    },
    /// Explains what somebody may do to a package.
    AccessExplain {
        /// Who.
        user: String,
        /// Which package.
        path: String,
        /// `pull`, `push`, `delete`, `restore` or `administer`.
        action: String,
    },
}

/// What members of an organization may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyView {
    /// Visibilities that they may give to packages.
    pub packages: Vec<String>,
    /// What a package is when it is made.
    pub default: String,
    /// Whether packages that are linked by their first push inherit.
    pub inherit: bool,
    /// What they may in each repository; `none` for nothing.
    pub base_role: String,
    /// Whether they may make repositories.
    pub members_create_repositories: bool,
}

/// A team.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeamView {
    /// Its identifier.
    pub id: i64,
    /// Its name in addresses.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// `secret` or `closed`.
    pub privacy: String,
    /// The slug of the team above it.
    pub parent: Option<String>,
    /// Members of its own.
    pub members: u64,
    /// Repositories of its own.
    pub repositories: u64,
}

/// A repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryView {
    /// Its identifier.
    pub id: i64,
    /// `owner/name`
    pub path: String,
    /// `private`, `internal` or `public`.
    pub visibility: String,
    /// What it is.
    pub description: Option<String>,
    /// When it was made, microseconds since 1970.
    pub created_at: i64,
}

/// The roles on a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageAccessView {
    /// The repository it is linked to.
    pub repository: Option<String>,
    /// Whether its roles are that repository's.
    pub inherits: bool,
    /// Its own.
    pub roles: Vec<AccessView>,
}

impl From<ManageError> for OperatorError {
    fn from(error: ManageError) -> Self {
        match error {
            ManageError::Fault(fault) => OperatorError::Fault(fault),
            // To the operator, who sees everything, it is simply not there.
            ManageError::Denied(Denied::Refused(refused)) if refused.refusal == Refusal::NotFound => {
                OperatorError::Absent(refused.path)
            }
            ManageError::Denied(Denied::Refused(refused)) if refused.refusal == Refusal::NoInternal => {
                OperatorError::Rule(
                    "only packages and repositories of organizations can be internal".to_owned(),
                )
            }
            ManageError::Denied(denied) => OperatorError::Denied(denied),
            other => OperatorError::Rule(other.to_string()),
        }
    }
}

fn all() -> Window {
    Window::first(LIST_MAX)
}

/// The path of a package, there or not.
fn path_of(path: &str) -> Result<String, OperatorError> {
    let bad = |why| OperatorError::Path { path: path.chars().take(300).collect(), why };
    let name: PackageName = path.parse().map_err(bad)?;
    Ok(name.as_str().to_owned())
}

/// The path of a package that is there.
fn existing(tx: &mut WriteTx<'_, '_>, path: &str, now: Micros) -> Result<String, OperatorError> {
    super::package_facts(tx, path, now)?;
    path_of(path)
}

fn grantee(text: &str) -> Grantee {
    match text.split_once(':') {
        Some(("team", slug)) => Grantee::Team(slug.to_owned()),
        Some(("repository", name)) => Grantee::Repository(name.to_owned()),
        _ => Grantee::Account(text.to_owned()),
    }
}

fn split(path: &str) -> Result<(&str, &str), OperatorError> {
    path.split_once('/').ok_or_else(|| OperatorError::Absent(path.chars().take(100).collect()))
}

fn role(role: Option<&String>) -> Result<Option<RepositoryRole>, OperatorError> {
    Ok(role.map(|role| role.parse()).transpose()?)
}

/// One command about people, packages' roles or links.
pub(super) fn people<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    operator: &Caller<'tx>,
    command: &PeopleCommand,
    now: Micros,
) -> Result<Answer, OperatorError> {
    match command {
        PeopleCommand::OrgPolicy { org, .. } => {
            let policy = operate_policy(tx, operator, org, policy_change(command)?, now)?;
            Ok(Answer::Policy(policy_view(policy)))
        }
        PeopleCommand::TeamList { .. }
        | PeopleCommand::TeamCreate { .. }
        | PeopleCommand::TeamDelete { .. }
        | PeopleCommand::TeamMembers { .. }
        | PeopleCommand::TeamAddMember { .. }
        | PeopleCommand::TeamRemoveMember { .. }
        | PeopleCommand::TeamRole { .. } => team_commands(tx, operator, command, now),
        PeopleCommand::RepoList { .. }
        | PeopleCommand::RepoCreate { .. }
        | PeopleCommand::RepoDelete { .. }
        | PeopleCommand::RepoVisibility { .. }
        | PeopleCommand::RepoCollaborators { .. }
        | PeopleCommand::RepoRole { .. } => repository_commands(tx, operator, command, now),
        PeopleCommand::PackageLink { path, repository, inherit } => {
            let path = existing(tx, path, now)?;
            package_access::link(tx, operator, &path, repository, *inherit, now)?;
            done(match inherit {
                true => format!("`{path}` is linked to `{repository}` and inherits its access"),
                false => format!("`{path}` is linked to `{repository}`; who has access is as before"),
            })
        }
        PeopleCommand::PackageUnlink { path } => {
            let path = existing(tx, path, now)?;
            package_access::unlink(tx, operator, &path, now)?;
            done(format!("`{path}` is linked to no repository any more"))
        }
        PeopleCommand::PackageInherit { path, inherit } => {
            let path = existing(tx, path, now)?;
            package_access::set_inherits(tx, operator, &path, *inherit, now)?;
            done(match inherit {
                true => format!("`{path}` inherits the access of its repository"),
                false => format!("`{path}` has a list of roles of its own again; it is empty"),
            })
        }
        PeopleCommand::AccessExplain { user, path, action } => {
            let explained: Explanation = explain(tx, operator, user, &path_of(path)?, action)?;
            Ok(Answer::Explained(explained))
        }
    }
}

/// One command about the roles on a package.
pub(super) fn roles<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    operator: &Caller<'tx>,
    command: &Command,
    now: Micros,
) -> Result<Answer, OperatorError> {
    match command {
        Command::PackageGrant { path, user: to, role } => {
            let (path, role) = (existing(tx, path, now)?, role.parse()?);
            package_access::grant(tx, operator, &path, &grantee(to), role, now)?;
            done(format!("`{}` has the role {role} on `{path}`", lower(to)))
        }
        Command::PackageRevoke { path, user: from } => {
            let path = existing(tx, path, now)?;
            package_access::revoke(tx, operator, &path, &grantee(from))?;
            done(format!("`{}` has no role of their own on `{path}` any more", lower(from)))
        }
        Command::PackageAccess { path } => {
            let access = {
                let path = existing(tx, path, now)?;
                package_access::package_access(tx, operator, &path)?
            };
            let row = |user: String, role: packhouse_access::Role| AccessView {
                user,
                role: role.as_str().to_owned(),
            };
            let accounts = access.accounts.into_iter().map(|(account, role)| row(account.name, role));
            let teams = access.teams.into_iter().map(|(team, role)| row(format!("team:{}", team.slug), role));
            let repositories = access
                .repositories
                .into_iter()
                .map(|(repository, role)| row(format!("repository:{}", repository.path), role));
            Ok(Answer::PackageAccess(PackageAccessView {
                repository: access.repository.map(|repository| repository.path),
                inherits: access.inherits,
                roles: accounts.chain(teams).chain(repositories).collect(),
            }))
        }
        _ => Ok(Answer::Access(Vec::new())),
    }
}

fn policy_change(command: &PeopleCommand) -> Result<PolicyChange, OperatorError> {
    let PeopleCommand::OrgPolicy {
        packages, default, inherit, base_role, members_create_repositories, ..
    } = command
    else {
        return Ok(PolicyChange::default());
    };
    let allowed: Option<Vec<Visibility>> = match packages {
        Some(words) => Some(words.iter().map(|word| word.parse()).collect::<Result<_, _>>()?),
        None => None,
    };
    let allows = |visibility| allowed.as_ref().map(|allowed| allowed.contains(&visibility));
    Ok(PolicyChange {
        private: allows(Visibility::Private),
        internal: allows(Visibility::Internal),
        public: allows(Visibility::Public),
        default: default.as_ref().map(|word| word.parse()).transpose()?,
        inherit: *inherit,
        base_role: match base_role.as_deref() {
            None => None,
            Some("none") => Some(None),
            Some(word) => Some(Some(word.parse()?)),
        },
        members_create_repositories: *members_create_repositories,
    })
}

fn policy_view(policy: OrganizationPolicy) -> PolicyView {
    let kinds = [Visibility::Private, Visibility::Internal, Visibility::Public];
    let allowed = kinds.into_iter().filter(|kind| policy.packages.allows(*kind));
    PolicyView {
        packages: allowed.map(|kind| kind.as_str().to_owned()).collect(),
        default: policy.packages.default.as_str().to_owned(),
        inherit: policy.packages_inherit,
        base_role: policy.base_role.map_or("none", RepositoryRole::as_str).to_owned(),
        members_create_repositories: policy.members_create_repositories,
    }
}

fn team_view(team: Team) -> TeamView {
    TeamView {
        id: team.id.0,
        slug: team.slug,
        name: team.name,
        privacy: if team.secret { "secret" } else { "closed" }.to_owned(),
        parent: team.parent.map(|parent| parent.slug),
        members: team.members,
        repositories: team.repositories,
    }
}

fn repository_view(repository: Repository) -> RepositoryView {
    RepositoryView {
        id: repository.id.0,
        path: repository.path,
        visibility: repository.visibility.as_str().to_owned(),
        description: repository.description,
        created_at: repository.created_at.0,
    }
}

/// What is refused about a team is its organization's or its own absence.
fn about_team(org: &str, team: &str) -> impl Fn(ManageError) -> OperatorError {
    let path = format!("{org}/{team}");
    move |error| match OperatorError::from(error) {
        OperatorError::Absent(_) => OperatorError::NoTeam(path.clone()),
        other => other,
    }
}

fn team_commands<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    operator: &Caller<'tx>,
    command: &PeopleCommand,
    now: Micros,
) -> Result<Answer, OperatorError> {
    match command {
        PeopleCommand::TeamCreate { org, name, description, secret, parent } => {
            let new = NewTeam {
                name: name.clone(),
                description: description.clone(),
                secret: *secret,
                parent: parent.clone().map(ParentChosen::Slug),
                maintainers: Vec::new(),
            };
            let team = create_team(tx, operator, org, &new, now)?;
            done(format!("team `{}` was made in `{}`", team.slug, team.organization.name))
        }
        PeopleCommand::TeamDelete { org, team } => {
            delete_team(tx, operator, org, team).map_err(about_team(org, team))?;
            done(format!("team `{team}` of `{org}` is deleted"))
        }
        PeopleCommand::TeamMembers { org, team } => {
            let members =
                team_members(tx, operator, (org, team), None, &all()).map_err(about_team(org, team))?;
            let role = |maintainer| if maintainer { "maintainer" } else { "member" }.to_owned();
            let view = |member: packhouse_catalog::TeamMember| MemberView {
                user: member.account.name,
                role: role(member.maintainer),
            };
            Ok(Answer::Members(members.rows.into_iter().map(view).collect()))
        }
        PeopleCommand::TeamAddMember { org, team, user, maintainer } => {
            put_team_member(tx, operator, org, team, user, *maintainer).map_err(about_team(org, team))?;
            done(format!("`{user}` is in the team `{team}` of `{org}`"))
        }
        PeopleCommand::TeamRemoveMember { org, team, user } => {
            remove_team_member(tx, operator, org, team, user).map_err(about_team(org, team))?;
            done(format!("`{user}` is in the team `{team}` of `{org}` no longer"))
        }
        PeopleCommand::TeamRole { org, team, repository, role: given } => {
            let path = format!("{org}/{repository}");
            let given = role(given.as_ref())?;
            set_team_role(tx, operator, (org, team), &path, given)?;
            done(match given {
                Some(given) => format!("the team `{team}` has the role {given} in `{path}`"),
                None => format!("the team `{team}` has no role in `{path}` any more"),
            })
        }
        PeopleCommand::TeamList { org } => {
            let found = teams(tx, operator, org, &all())?;
            Ok(Answer::Teams(found.rows.into_iter().map(team_view).collect()))
        }
        _ => Ok(Answer::Teams(Vec::new())),
    }
}

fn repository_commands<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    operator: &Caller<'tx>,
    command: &PeopleCommand,
    now: Micros,
) -> Result<Answer, OperatorError> {
    match command {
        PeopleCommand::RepoCreate { path, visibility, description } => {
            let (owner, name) = split(path)?;
            let visibility = visibility.parse()?;
            let new = NewRepository {
                name: name.to_owned(),
                visibility,
                description: description.clone(),
                homepage: None,
            };
            let made = create_repository(tx, operator, owner, &new, now)?;
            done(format!("repository `{}` was made; it is {visibility}", made.path))
        }
        PeopleCommand::RepoDelete { path } => {
            delete_repository(tx, operator, path, now)?;
            done(format!("the record of `{path}` is deleted; packages that were linked to it stay"))
        }
        PeopleCommand::RepoVisibility { path, visibility } => {
            let visibility = visibility.parse()?;
            let change = RepositoryChange { visibility: Some(visibility), ..RepositoryChange::default() };
            let changed = change_repository(tx, operator, path, &change, now)?;
            done(format!("`{}` is {visibility} now", changed.path))
        }
        PeopleCommand::RepoCollaborators { path } => {
            let found =
                collaborators(tx, operator, path, (Affiliation::Direct, RepositoryRole::Read), &all())?;
            let view = |one: packhouse_catalog::Collaborator| AccessView {
                user: one.account.name,
                role: one.role.as_str().to_owned(),
            };
            Ok(Answer::Access(found.rows.into_iter().map(view).collect()))
        }
        PeopleCommand::RepoRole { path, user, role: given } => {
            let given = role(given.as_ref())?;
            set_collaborator(tx, operator, path, user, given)?;
            done(match given {
                Some(given) => format!("`{user}` has the role {given} in `{path}`"),
                None => format!("`{user}` has no role of their own in `{path}` any more"),
            })
        }
        PeopleCommand::RepoList { owner } => {
            let found = repositories_of(tx, operator, owner, &all())?;
            Ok(Answer::Repositories(found.rows.into_iter().map(repository_view).collect()))
        }
        _ => Ok(Answer::Repositories(Vec::new())),
    }
}
