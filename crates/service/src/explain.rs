//! Why somebody may do something to a package, or why not.

use crate::Service;
use crate::access::caller;
use crate::identity::Shown;
use crate::manage::{ManageError, lower};
use packhouse_access::{
    Action, Administer, Because, Caller, Delete, Explain, Granted, PackageFacts, Pull, Push, Refusal,
    Restore, decide, decide_create, decide_explain, explain_roles,
};
use packhouse_catalog::{AccountKind, ReadTx};
use packhouse_oci::{NameError, PackageName};
use serde::{Deserialize, Serialize};

/// A decision with all that it was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Who.
    pub user: String,
    /// On which package.
    pub package: String,
    /// `pull`, `push`, `delete`, `restore` or `administer`.
    pub action: String,
    /// Whether they may, with a token of all scopes.
    pub allowed: bool,
    /// The decision as a sentence.
    pub decision: String,
    /// Every role they have on it and where it comes from, the highest first.
    pub roles: Vec<Reason>,
}

/// A role and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// `read`, `write` or `admin`.
    pub role: String,
    /// Where it comes from.
    pub because: String,
}

impl Service {
    /// Explains what an account may do to a package, to who administers the site.
    pub async fn explain(
        &self,
        shown: &Shown,
        user: &str,
        path: &str,
        action: &str,
    ) -> Result<Explanation, ManageError> {
        let presented = self.presented(shown)?;
        let name: PackageName = path
            .parse()
            .map_err(|why: NameError| ManageError::invalid("Access", "package", why.to_string()))?;
        let (user, action, now) = (user.to_owned(), action.to_owned(), self.clock.now());
        self.catalog
            .read(move |tx| {
                let asking = caller::<ManageError>(tx, &presented, now)?;
                explain(tx, &asking, &user, name.as_str(), &action)
            })
            .await
    }
}

/// Explains what an account may do to a package, whether or not it exists.
pub(crate) fn explain<'tx>(
    tx: &mut ReadTx<'_, 'tx>,
    asking: &Caller<'tx>,
    name: &str,
    path: &str,
    action: &str,
) -> Result<Explanation, ManageError> {
    let may = decide_explain(asking)?;
    let found = tx.account(&lower(name))?.filter(|account| account.kind != AccountKind::Organization);
    let account = found.ok_or_else(|| ManageError::unknown("user", name))?;
    let mut explanation = Explanation {
        user: account.login.clone(),
        package: path.to_owned(),
        action: action.to_owned(),
        allowed: false,
        decision: String::new(),
        roles: Vec::new(),
    };
    let Some(caller) = tx.caller_as(&may, account.id)? else {
        explanation.decision = format!("{} is suspended and may do nothing", account.login);
        return Ok(explanation);
    };
    let facts = tx.facts(&caller, path)?;
    for (role, because) in explain_roles(&facts) {
        let because = in_words(tx, &may, because)?;
        explanation.roles.push(Reason { role: role.as_str().to_owned(), because });
    }
    let decided = match action {
        "pull" => decided::<Pull>(&facts),
        "push" if !facts.exists() => {
            decide_create(&facts).map(|granted| granted.because()).map_err(|refused| refused.refusal)
        }
        "push" => decided::<Push>(&facts),
        "delete" => decided::<Delete>(&facts),
        "restore" => decided::<Restore>(&facts),
        "administer" => decided::<Administer>(&facts),
        _ => {
            let why = "action must be pull, push, delete, restore or administer";
            return Err(ManageError::invalid("Access", "action", why));
        }
    };
    explanation.allowed = decided.is_ok();
    let who = &account.login;
    explanation.decision = match decided {
        Ok(because) if !facts.exists() => {
            format!("{who} may create {path} by a push: {}", in_words(tx, &may, because)?)
        }
        Ok(because) => format!("{who} may {action} {path}: {}", in_words(tx, &may, because)?),
        Err(refusal) => format!("{who} may not {action} {path}: {}", why_not(&facts, &refusal)),
    };
    Ok(explanation)
}

fn decided<A: Action>(facts: &PackageFacts<'_>) -> Result<Because, Refusal> {
    decide::<A>(facts).map(|granted| granted.because()).map_err(|refused| refused.refusal)
}

fn in_words<'tx>(
    tx: &mut ReadTx<'_, 'tx>,
    may: &Granted<'tx, Explain>,
    because: Because,
) -> Result<String, ManageError> {
    Ok(match because {
        Because::Visible(visibility) => format!("the package is {visibility}"),
        Because::Granted(role) => format!("has the role {role} by name"),
        Because::Team(id, role) => {
            let team = tx.team_named(may, id)?;
            let name = team.map_or_else(
                || format!("number {}", id.0),
                |team| format!("{}/{}", team.organization.login, team.slug),
            );
            format!("the team {name} has the role {role}")
        }
        Because::Repository(id, role) => {
            let repository = tx.repository_named(may, id)?;
            let name = repository.map_or_else(|| format!("number {}", id.0), |repository| repository.path);
            format!("inherits from the repository {name}, where the role is {role}")
        }
        Because::Robot(role) => {
            format!("is a robot with the role {role} on all packages of the organization")
        }
        Because::Own => "it is their own account".to_owned(),
        Because::OwnsNamespace => "owns the namespace".to_owned(),
        Because::Member => "is a member of the organization".to_owned(),
        Because::SiteAdmin => "administers the site".to_owned(),
        Because::Operator => "operates the site".to_owned(),
        Because::Worker => "is a worker".to_owned(),
    })
}

fn why_not(facts: &PackageFacts<'_>, refusal: &Refusal) -> String {
    match refusal {
        Refusal::NotFound if !facts.exists() => "there is no such package".to_owned(),
        Refusal::NotFound => "no role on it, and it is not public; to them it does not exist".to_owned(),
        Refusal::Role { has, needs } => format!("the highest role is {has}, and it takes {needs}"),
        Refusal::Policy(Some(visibility)) => {
            format!("the organization does not let its members have {visibility} packages")
        }
        Refusal::Policy(None) => "the organization's policy does not let its members".to_owned(),
        Refusal::NoInternal => "only packages of organizations can be internal".to_owned(),
        Refusal::Scope(scope, _) => format!("the token lacks {scope}"),
        Refusal::Limit { needs, .. } => format!("the token was not made for it; it takes {needs}"),
        Refusal::Authenticate | Refusal::BearerTooNarrow | Refusal::Standing | Refusal::Caller => {
            "this kind of caller does not".to_owned()
        }
    }
}
