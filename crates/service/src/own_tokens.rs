//! Tokens that people make for themselves: fine-grained ones, for chosen packages or all packages of an account.
//!
//! Three rules. A token never makes a wider one: a classic token needs the scopes for what the new one can do, a
//! fine-grained one gives on what it was given. A token that was made with another ends with it. And only a classic
//! token with the scope `user` sees and revokes all tokens of its account; every other one itself and those that it
//! made.

use crate::Service;
use crate::error::Fault;
use crate::identity::{Shown, hash};
use crate::manage::{ManageError, Rows, lower, short, text};
use crate::token_format::Secret;
use packhouse_access::{
    AccountId, Caller, Chosen, Granted, Limit, Own, Refusal, Role, Scopes, See, TokenId, Wanted, decide,
    decide_make_token, decide_own,
};
use packhouse_catalog::{AccountKind, LimitRow, Micros, NewToken, ReadTx, Token, TokenKind, Window, WriteTx};
use packhouse_oci::PackageName;

/// Things that a token may be made for.
const LIMITS_MAX: usize = 100;
/// Tokens of an account that were not revoked.
pub(crate) const TOKENS_MAX: u32 = 500;
const NAME_CHARS_MAX: usize = 100;
const RESOURCE: &str = "Token";

/// One thing that a token is for, by name, and what it may at most do there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitWanted {
    /// All packages of an account, those to come too.
    Owner(String, Role),
    /// One package, by its path.
    Package(String, Role),
}

/// A fine-grained token to make.
#[derive(Clone, Debug)]
pub struct TokenWanted {
    /// A name for people.
    pub name: String,
    /// What it is for.
    pub limits: Vec<LimitWanted>,
    /// When it ends, microseconds since 1970; with the token that makes it at the latest.
    pub expires_at: Option<i64>,
}

/// A token as its holder sees it; never the token itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSeen {
    /// Its identifier.
    pub id: i64,
    /// A name for people.
    pub name: String,
    /// Where it comes from.
    pub kind: TokenKind,
    /// Scopes of a classic one.
    pub scopes: Scopes,
    /// What a fine-grained one is for.
    pub limits: Vec<LimitWanted>,
    /// When it was made, microseconds since 1970.
    pub created_at: i64,
    /// When it ends.
    pub expires_at: Option<i64>,
    /// When it was used last, to the minute.
    pub last_used_at: Option<i64>,
}

/// A token that was made. It is shown here and never again.
#[derive(Clone, Debug)]
pub struct TokenMade {
    /// The token.
    pub secret: Secret,
    /// What is kept of it.
    pub seen: TokenSeen,
}

impl TokenSeen {
    pub(crate) fn of(token: Token, limits: &[LimitRow]) -> Self {
        let own = limits.iter().filter(|row| row.token == token.id);
        let limits = own.filter_map(|row| match (&row.owner, &row.package) {
            (Some(owner), _) => Some(LimitWanted::Owner(owner.clone(), row.role)),
            (None, Some(package)) => Some(LimitWanted::Package(package.clone(), row.role)),
            (None, None) => None,
        });
        TokenSeen {
            id: token.id.0,
            limits: limits.collect(),
            name: token.name,
            kind: token.kind,
            scopes: token.scopes,
            created_at: token.created_at.0,
            expires_at: token.expires_at.map(|at| at.0),
            last_used_at: token.last_used_at.map(|at| at.0),
        }
    }
}

/// The name of a token, and its end, which must be to come.
pub(crate) fn name_and_end(
    name: &str,
    expires_at: Option<i64>,
    now: Micros,
) -> Result<(String, Option<Micros>), ManageError> {
    let named = text(RESOURCE, "name", name, NAME_CHARS_MAX)?;
    let name = named.ok_or_else(|| ManageError::invalid(RESOURCE, "name", "a token needs a name"))?;
    if expires_at.is_some_and(|at| at <= now.0) {
        return Err(ManageError::invalid(RESOURCE, "expires_at", "it would have expired already"));
    }
    Ok((name, expires_at.map(Micros)))
}

/// What is wanted, by identifiers. A package that the caller may not see and none at all are the same.
pub(crate) fn resolve<'tx>(
    tx: &mut ReadTx<'_, 'tx>,
    caller: &Caller<'tx>,
    limits: &[LimitWanted],
) -> Result<Vec<Wanted>, ManageError> {
    if limits.is_empty() || limits.len() > LIMITS_MAX {
        let why = format!("a token is for 1 to {LIMITS_MAX} packages or owners");
        return Err(ManageError::invalid(RESOURCE, "limits", why));
    }
    let mut wanted = Vec::with_capacity(limits.len());
    for limit in limits {
        wanted.push(match limit {
            LimitWanted::Owner(name, role) => {
                let found = tx.account(&lower(name))?.filter(|account| account.kind != AccountKind::Robot);
                let owner = found.ok_or_else(|| ManageError::unknown("user or organization", name))?.id;
                Wanted { limit: Limit { chosen: Chosen::Owner(owner), role: *role }, owner }
            }
            LimitWanted::Package(path, role) => {
                let unknown = || ManageError::unknown("package", path);
                let name: PackageName = lower(path).parse().map_err(|_| unknown())?;
                let may =
                    decide::<See>(&tx.facts(caller, name.as_str())?).map_err(|refused| {
                        match refused.refusal {
                            Refusal::NotFound => unknown(),
                            _ => refused.into(),
                        }
                    })?;
                let limit = Limit { chosen: Chosen::Package(may.package()), role: *role };
                Wanted { limit, owner: may.owner() }
            }
        });
    }
    Ok(wanted)
}

/// Robots sign in for their organization; who may do so, its owners decide.
pub(crate) fn no_robot<'tx>(tx: &mut ReadTx<'_, 'tx>, caller: &Caller<'tx>) -> Result<(), ManageError> {
    let holder = tx.token_holder(caller)?;
    if holder.is_some_and(|holder| holder.account_kind == AccountKind::Robot) {
        let why = "Robots make no tokens; an owner of the organization makes them.";
        return Err(ManageError::Forbidden(why.to_owned()));
    }
    Ok(())
}

pub(crate) fn full() -> ManageError {
    ManageError::Forbidden(format!(
        "The account has {TOKENS_MAX} tokens, and more are not kept; revoke some that are not used."
    ))
}

/// The tokens that a caller has to do with.
fn reach<'tx>(caller: &Caller<'tx>) -> Result<(Granted<'tx, Own>, Option<TokenId>), ManageError> {
    match decide_own(caller, Scopes::USER) {
        Ok(may) => Ok((may, None)),
        Err(_) => Ok((decide_own(caller, Scopes::NONE)?, caller.token())),
    }
}

impl Service {
    /// Makes a fine-grained token for the caller's own account.
    pub async fn create_own_token(
        &self,
        shown: &Shown,
        wanted: TokenWanted,
    ) -> Result<TokenMade, ManageError> {
        let secret = Secret::random().map_err(|_| ManageError::Fault(Fault::Random))?;
        let kept = secret.clone();
        let seen = self
            .change(shown, move |tx, caller, now| {
                no_robot(tx, caller)?;
                let (name, expires_at) = name_and_end(&wanted.name, wanted.expires_at, now)?;
                let reading: &mut ReadTx<'_, '_> = tx;
                let limits = resolve(reading, caller, &wanted.limits)?;
                let may = decide_make_token(caller, &limits)?;
                if tx.tokens_kept(&may, TOKENS_MAX)? >= u64::from(TOKENS_MAX) {
                    return Err(full());
                }
                let new = NewToken {
                    account: may.holder(),
                    kind: TokenKind::FineGrained,
                    name,
                    hash: hash(kept.reveal()),
                    scopes: Scopes::NONE,
                    expires_at,
                };
                let made = tx.make_token(&may, &new, now)?;
                let (id, expires_at) = made.ok_or(crate::Denied::Credential)?;
                Ok(TokenSeen {
                    id: id.0,
                    name: new.name,
                    kind: new.kind,
                    scopes: Scopes::NONE,
                    limits: wanted.limits.clone(),
                    created_at: now.0,
                    expires_at: expires_at.map(|at| at.0),
                    last_used_at: None,
                })
            })
            .await?;
        Ok(TokenMade { secret, seen })
    }

    /// The caller's own tokens that were not revoked, by identifier.
    pub async fn own_tokens(&self, shown: &Shown, window: Window) -> Result<Rows<TokenSeen>, ManageError> {
        self.look(shown, move |tx, caller| {
            let (may, only) = reach(caller)?;
            let rows = Rows::read(&window, |window| tx.own_tokens(&may, only, window))?;
            let (first, last) = (rows.rows.first().map(|row| row.id), rows.rows.last().map(|row| row.id));
            let limits = match (first, last) {
                (Some(first), Some(last)) => tx.own_token_limits(&may, TokenId(first.0 - 1), last)?,
                _ => Vec::new(),
            };
            let seen = rows.rows.into_iter().map(|token| TokenSeen::of(token, &limits)).collect();
            Ok(Rows { rows: seen, more: rows.more })
        })
        .await
    }

    /// One of them.
    pub async fn own_token(&self, shown: &Shown, id: i64) -> Result<TokenSeen, ManageError> {
        let window = Window { after: (id.saturating_sub(1)).to_string(), skip: 0, limit: 1 };
        let rows = self.own_tokens(shown, window).await?.rows;
        let found = rows.into_iter().find(|token| token.id == id);
        found.ok_or_else(|| ManageError::unknown("token", &id.to_string()))
    }

    /// Revokes one of them, and what was made with it.
    pub async fn revoke_own_token(&self, shown: &Shown, id: i64) -> Result<(), ManageError> {
        self.change(shown, move |tx, caller, now| {
            let (may, only) = reach(caller)?;
            if !tx.revoke_own_token(&may, TokenId(id), only, now)? {
                return Err(ManageError::unknown("token", &id.to_string()));
            }
            Ok(())
        })
        .await
    }
}

/// Makes a fine-grained token for an account, as the operator.
pub(crate) fn create_for<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    operator: &Caller<'tx>,
    account: AccountId,
    wanted: &TokenWanted,
    secret: &Secret,
    now: Micros,
) -> Result<TokenId, ManageError> {
    let may = packhouse_access::decide_operate(operator)?;
    let (name, expires_at) = name_and_end(&wanted.name, wanted.expires_at, now)?;
    let limits = resolve(tx, operator, &wanted.limits)?;
    let limits: Vec<Limit> = limits.into_iter().map(|wanted| wanted.limit).collect();
    let (kind, hash, scopes) = (TokenKind::FineGrained, hash(secret.reveal()), Scopes::NONE);
    let new = NewToken { account, kind, name, hash, scopes, expires_at };
    let made = tx.create_limited_token(&may, &new, &limits, now)?;
    made.ok_or_else(|| ManageError::taken(RESOURCE, "name", &short(&wanted.name)))
}
