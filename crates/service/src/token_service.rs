//! The token service (distribution's token and OAuth 2 specifications): what of the asked scopes is granted.
//!
//! It never refuses for asking too much: the answer carries the intersection, empty if need be, so that a
//! private package and none at all look alike. Only a credential that is not valid is refused.

use crate::access::{caller, read_facts};
use crate::identity::Shown;
use crate::{Denied, Service, TokenError};
use packhouse_access::{
    Action, Actions, Bound, Caller, Delete, PackageFacts, Pull, Push, Scopes, TokenId, decide, decide_create,
    decide_list,
};
use packhouse_catalog::{Presented, ReadTx};
use packhouse_oci::PackageName;

/// One scope that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScopeAsked {
    /// `repository:<name>:<actions>`.
    Package(PackageName, Actions),
    /// `registry:catalog:*`.
    Catalog,
}

/// How a token is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// With a credential, or none.
    Shown(Shown),
    /// With a refresh token.
    Refresh(String),
}

/// A request for a bearer token.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// By whom.
    pub grant: Grant,
    /// For what. The edge bounds how many.
    pub scopes: Vec<ScopeAsked>,
    /// Whether a refresh token is wanted too.
    pub offline: bool,
}

/// A bearer token that was made.
#[derive(Clone)]
pub struct GrantedToken {
    /// The token.
    pub token: String,
    /// Seconds it lives.
    pub expires_in: u64,
    /// When it was made, seconds since 1970.
    pub issued_at: i64,
    /// A refresh token, if one was asked for by who signed in.
    pub refresh_token: Option<String>,
}

impl Service {
    /// Makes a bearer token for what of the asked scopes the caller may do now.
    pub async fn token(&self, request: TokenRequest) -> Result<GrantedToken, TokenError> {
        let now = self.clock.now();
        let presented = match &request.grant {
            Grant::Shown(shown) => self.presented(shown)?,
            Grant::Refresh(token) => {
                let token = self.keys.verify_refresh(token, now).ok_or(Denied::Credential)?;
                Presented::Bearer { token, bound: Bound::default() }
            }
        };
        // A bearer token does not beget another.
        if matches!(request.grant, Grant::Shown(_)) && matches!(presented, Presented::Bearer { .. }) {
            return Err(Denied::Credential.into());
        }
        let (scopes, follow) = (request.scopes, self.settings.redirect_renamed);
        let (token, bound) = self
            .catalog
            .read_remembered(move |tx| {
                let caller = caller::<TokenError>(tx, &presented, now)?.unbound();
                let bound = granted(tx, &caller, &scopes, follow)?;
                Ok::<(Option<TokenId>, Bound), TokenError>((caller.token(), bound))
            })
            .await?;
        let seconds = self.settings.token_seconds;
        let refresh = match token.filter(|_| request.offline) {
            Some(token) => Some(self.keys.sign_refresh(token, now, self.settings.refresh_seconds)?),
            None => None,
        };
        Ok(GrantedToken {
            token: self.keys.sign(token, &bound, now, seconds)?,
            expires_in: seconds,
            issued_at: now.0 / 1_000_000,
            refresh_token: refresh,
        })
    }
}

fn granted<'tx>(
    tx: &mut ReadTx<'_, 'tx>,
    caller: &Caller<'tx>,
    scopes: &[ScopeAsked],
    follow: bool,
) -> Result<Bound, TokenError> {
    let (mut packages, mut catalog) = (Vec::new(), false);
    for scope in scopes {
        match scope {
            ScopeAsked::Catalog => catalog |= decide_list(caller).is_ok(),
            ScopeAsked::Package(name, asked) => {
                // Both always: a path that leads elsewhere, a private package and none at all take the same work.
                let facts = tx.facts(caller, name.as_str())?;
                let followed = read_facts(tx, caller, name.as_str(), follow)?;
                let granted = actions(&facts, &followed, caller.scopes(), *asked);
                if !granted.is_empty() {
                    packages.push((name.as_str().to_owned(), granted));
                }
            }
        }
    }
    Ok(Bound { packages: packages.into(), catalog })
}

fn actions(facts: &PackageFacts<'_>, followed: &PackageFacts<'_>, scopes: Scopes, asked: Actions) -> Actions {
    // Who may create the package will administer it: what their token's scopes allow is theirs.
    let creates = !facts.exists() && decide_create(facts).is_ok();
    let allowed = |may: bool, needs: Scopes, action: Actions| {
        // A fine-grained token has no scopes; one that may create may push. What more it may is known once the
        // package is there.
        let limited = facts.caller().is_limited() && action != Actions::DELETE;
        let will = creates && (limited || scopes.contains(needs));
        if asked.contains(action) && (may || will) { action } else { Actions::NONE }
    };
    allowed(decide::<Pull>(followed).is_ok(), Pull::SCOPES, Actions::PULL)
        .with(allowed(decide::<Push>(facts).is_ok(), Push::SCOPES, Actions::PUSH))
        .with(allowed(decide::<Delete>(facts).is_ok(), Delete::SCOPES, Actions::DELETE))
}
