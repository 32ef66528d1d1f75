//! Decisions about tokens: one that makes another never makes a wider one.

use crate::decide::{Granted, On, grant, lacking};
use crate::facts::{Caller, Chosen, Limit, Who};
use crate::reason::{Because, Refusal, Refused};
use crate::scope::{Role, Scopes};
use crate::{AccountId, TokenId};

/// Making a token for one's own account.
#[derive(Debug)]
pub enum MakeToken {}

/// One of the limits that a token is to have, and who owns what it chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The limit.
    pub limit: Limit,
    /// The owner of the package or, for all packages of an account, that account.
    pub owner: AccountId,
}

impl Granted<'_, MakeToken> {
    /// Whose token it will be; -1, which no row has, stands for the impossible.
    pub fn holder(&self) -> AccountId {
        self.account.unwrap_or(AccountId(-1))
    }
    /// The token that it is made with, and ends with.
    pub fn parent(&self) -> Option<TokenId> {
        self.on.token
    }
    /// What a fine-grained token is for; empty for one with scopes.
    pub fn limits(&self) -> &[Limit] {
        &self.on.limits
    }
    /// The scopes of a classic one.
    pub fn scopes(&self) -> Scopes {
        self.on.scopes
    }
}

/// What a classic token must hold to make a fine-grained one of this role: what that one can do.
fn scopes_of(role: Role) -> Scopes {
    match role {
        Role::Read => Scopes::READ,
        Role::Write => Scopes::WRITE,
        Role::Admin => Scopes::WRITE.with(Scopes::DELETE),
    }
}

/// Whether the caller's token may make a fine-grained one with these limits. A classic token needs the scopes for
/// what the new one can do; a fine-grained one gives on only what it was given itself.
pub fn decide_make_token<'tx>(
    caller: &Caller<'tx>,
    wanted: &[Wanted],
) -> Result<Granted<'tx, MakeToken>, Refused> {
    somebody(caller)?;
    for Wanted { limit, owner } in wanted {
        if caller.is_limited() {
            let package = match limit.chosen {
                Chosen::Package(id) => Some(id),
                Chosen::Owner(_) => None,
            };
            let has = caller.limit_on(Some(*owner), package);
            if has < Some(limit.role) {
                return Err(refused(Refusal::Limit { has, needs: limit.role }));
            }
        } else if let Some(scope) = lacking(caller.scopes, scopes_of(limit.role)) {
            return Err(refused(Refusal::Scope(scope, caller.scopes)));
        }
    }
    let limits = wanted.iter().map(|wanted| wanted.limit).collect();
    let on = On { limits, token: caller.token(), ..On::default() };
    Ok(grant(caller, on, "user", Because::Own))
}

/// Whether the caller's token may make a classic one, which gets those of the asked scopes that the caller's holds.
/// A fine-grained one may not: its limits cannot be said in scopes.
pub fn decide_hand_on<'tx>(caller: &Caller<'tx>, asked: Scopes) -> Result<Granted<'tx, MakeToken>, Refused> {
    somebody(caller)?;
    if caller.is_limited() {
        return Err(refused(Refusal::Limit { has: None, needs: Role::Admin }));
    }
    let on = On { scopes: asked.and(caller.scopes), token: caller.token(), ..On::default() };
    Ok(grant(caller, on, "user", Because::Own))
}

fn somebody(caller: &Caller<'_>) -> Result<(), Refused> {
    match caller.who {
        Who::Anonymous => Err(refused(Refusal::Authenticate)),
        Who::Operator | Who::Worker => Err(refused(Refusal::Caller)),
        // A bearer token is for the registry: it does not beget another.
        Who::Account { .. } if caller.bound.is_some() => Err(refused(Refusal::BearerTooNarrow)),
        Who::Account { .. } => Ok(()),
    }
}

fn refused(refusal: Refusal) -> Refused {
    Refused { refusal, action: "make a token for", path: "user".to_owned(), creating: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::brand::with_brand;
    use crate::ids::PackageId;

    const MONA: AccountId = AccountId(1);
    const ACME: AccountId = AccountId(2);
    const TOOL: PackageId = PackageId(7);

    fn all(role: Role) -> Wanted {
        Wanted { limit: Limit { chosen: Chosen::Owner(ACME), role }, owner: ACME }
    }

    fn tool(role: Role) -> Wanted {
        Wanted { limit: Limit { chosen: Chosen::Package(TOOL), role }, owner: ACME }
    }

    /// What comes of it for a holder with these scopes or, in their place, limits.
    fn made(scopes: Scopes, limits: Option<&[Wanted]>, wanted: &[Wanted]) -> Result<Vec<Limit>, Refusal> {
        with_brand(|brand| {
            let who = Who::Account { id: MONA, site_admin: false };
            let mut caller = Caller::new(&brand, who, Some(TokenId(5)), scopes, None);
            if let Some(limits) = limits {
                caller = caller.limited(&brand, limits.iter().map(|wanted| wanted.limit).collect());
            }
            let may = decide_make_token(&caller, wanted).map_err(|refused| refused.refusal)?;
            assert_eq!((may.holder(), may.parent()), (MONA, Some(TokenId(5))));
            Ok(may.limits().to_vec())
        })
    }

    #[test]
    fn a_classic_token_needs_the_scopes_for_what_the_new_one_can_do() {
        let rows = [
            (Scopes::READ, Role::Read, None),
            (Scopes::READ, Role::Write, Some("write:packages")),
            (Scopes::WRITE, Role::Write, None),
            (Scopes::WRITE, Role::Admin, Some("delete:packages")),
            (Scopes::DELETE, Role::Read, Some("read:packages")),
            (Scopes::WRITE.with(Scopes::DELETE), Role::Admin, None),
            (Scopes::REPO, Role::Read, Some("read:packages")),
            (Scopes::NONE, Role::Read, Some("read:packages")),
        ];
        for (scopes, role, lacks) in rows {
            let expected = match lacks {
                Some(scope) => Err(Refusal::Scope(scope, scopes)),
                None => Ok(vec![all(role).limit]),
            };
            assert_eq!(made(scopes, None, &[all(role)]), expected, "{scopes:?} {role}");
        }
        // One that is too wide spoils them all.
        let both = made(Scopes::READ, None, &[all(Role::Read), tool(Role::Write)]);
        assert_eq!(both, Err(Refusal::Scope("write:packages", Scopes::READ)));
    }

    #[test]
    fn a_fine_grained_token_gives_on_only_what_it_was_given() {
        let lacks = |has, needs| Err(Refusal::Limit { has, needs });
        let (read, write, admin) = (Role::Read, Role::Write, Role::Admin);
        let rows = [
            (all(write), all(write), Ok(())),
            (all(write), tool(write), Ok(())),
            (all(write), tool(read), Ok(())),
            (all(write), tool(admin), lacks(Some(write), admin)),
            (tool(admin), tool(admin), Ok(())),
            // One package does not become all of its owner's.
            (tool(admin), all(read), lacks(None, read)),
        ];
        for (held, wanted, expected) in rows {
            let expected = expected.map(|()| vec![wanted.limit]);
            // Scopes of the row do not count.
            assert_eq!(made(Scopes::ALL, Some(&[held]), &[wanted]), expected, "{held:?} {wanted:?}");
        }
        let elsewhere = Wanted { limit: Limit { chosen: Chosen::Owner(MONA), role: read }, owner: MONA };
        assert_eq!(
            made(Scopes::ALL, Some(&[all(admin)]), &[elsewhere]).unwrap_err(),
            lacks(None, read).unwrap_err()
        );
    }

    #[test]
    fn scopes_that_are_not_held_are_not_handed_on() {
        with_brand(|brand| {
            let who = Who::Account { id: MONA, site_admin: false };
            let held = Scopes::WRITE.with(Scopes::GIST);
            let caller = Caller::new(&brand, who, Some(TokenId(5)), held, None);
            let may = decide_hand_on(&caller, Scopes::REPO.with(Scopes::GIST).with(Scopes::READ)).unwrap();
            assert_eq!(may.scopes().normalized(), ["gist", "read:packages"]);
            let limited = caller.limited(&brand, vec![all(Role::Admin).limit]);
            let refused = decide_hand_on(&limited, Scopes::READ).unwrap_err().refusal;
            assert_eq!(refused, Refusal::Limit { has: None, needs: Role::Admin });
        });
    }

    #[test]
    fn who_is_no_account_and_who_shows_a_bearer_token_makes_none() {
        with_brand(|brand| {
            let account = Who::Account { id: MONA, site_admin: true };
            let rows = [
                (Who::Anonymous, None, Refusal::Authenticate),
                (Who::Operator, None, Refusal::Caller),
                (Who::Worker, None, Refusal::Caller),
                (account, Some(crate::Bound::default()), Refusal::BearerTooNarrow),
            ];
            for (who, bound, expected) in rows {
                let caller = Caller::new(&brand, who, None, Scopes::ALL, bound);
                assert_eq!(decide_make_token(&caller, &[]).unwrap_err().refusal, expected);
                assert_eq!(decide_hand_on(&caller, Scopes::NONE).unwrap_err().refusal, expected);
            }
        });
    }
}
