//! Personal access tokens, and the keys that sign bearer tokens.

use crate::accounts::{AccountKind, account_kind};
use crate::sql::{Row, Value, statement};
use crate::{CatalogError, Micros, ReadTx, Window, WriteTx};
use packhouse_access::{
    AccountId, Caller, Chosen, Collect, Govern, Granted, Limit, MakeToken, Operate, Own, Role, Scopes,
    TokenId,
};

/// Where a token comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// Made for an account and shown once.
    Personal,
    /// Given in the configuration of the server; the next one given replaces it.
    Configured,
    /// Made for chosen packages or owners, with a role in place of scopes.
    FineGrained,
    /// Given to a program at the end of the device flow.
    Device,
}

/// The kind whose rows in `token_limits` take the place of scopes.
pub(crate) const FINE_GRAINED: i64 = 3;

impl TokenKind {
    fn number(self) -> i64 {
        match self {
            TokenKind::Personal => 1,
            TokenKind::Configured => 2,
            TokenKind::FineGrained => FINE_GRAINED,
            TokenKind::Device => 4,
        }
    }

    /// The word for it in the API and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            TokenKind::Personal => "classic",
            TokenKind::Configured => "configured",
            TokenKind::FineGrained => "fine_grained",
            TokenKind::Device => "device",
        }
    }

    fn from_number(number: i64) -> Result<TokenKind, CatalogError> {
        Ok(match number {
            1 => TokenKind::Personal,
            2 => TokenKind::Configured,
            FINE_GRAINED => TokenKind::FineGrained,
            4 => TokenKind::Device,
            _ => return Err(CatalogError::Corrupt("kind of token")),
        })
    }
}

/// A token to store.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Whose.
    pub account: AccountId,
    /// Where from.
    pub kind: TokenKind,
    /// A name for people.
    pub name: String,
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    /// What it may at most do.
    pub scopes: Scopes,
    /// When it ends.
    pub expires_at: Option<Micros>,
}

/// A stored token. The token itself is nowhere.
#[derive(Clone, Debug)]
pub struct Token {
    /// Its identifier.
    pub id: TokenId,
    /// Whose.
    pub account: String,
    /// A name for people.
    pub name: String,
    /// What it may at most do.
    pub scopes: Scopes,
    /// When it was made.
    pub created_at: Micros,
    /// When it ends.
    pub expires_at: Option<Micros>,
    /// Since when it is revoked.
    pub revoked_at: Option<Micros>,
    /// Where it comes from.
    pub kind: TokenKind,
    /// When it was used last, to the minute.
    pub last_used_at: Option<Micros>,
    /// The token that it was made with.
    pub parent: Option<TokenId>,
}

/// One of the limits of a fine-grained token, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitRow {
    /// The token.
    pub token: TokenId,
    /// The account, if it is for all packages of one.
    pub owner: Option<String>,
    /// The package, if it is for one.
    pub package: Option<String>,
    /// What it may at most do there.
    pub role: Role,
}

/// A token that was used, as it was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Used {
    /// Behind a bearer token.
    Id(TokenId),
    /// Itself, by its SHA-256.
    Hash([u8; 32]),
}

/// Whose credential a caller showed.
#[derive(Clone, Debug)]
pub struct TokenHolder {
    /// The account.
    pub account: AccountId,
    /// Its name as it was written.
    pub login: String,
    /// Whether it is a user or a robot.
    pub account_kind: AccountKind,
    /// The token.
    pub token: TokenId,
    /// Where that comes from.
    pub kind: TokenKind,
    /// When it ends.
    pub expires_at: Option<Micros>,
}

/// A key that signs bearer tokens.
#[derive(Clone)]
pub struct SigningKey {
    /// What tokens name it by (`kid`).
    pub name: String,
    /// Its private part, PKCS #8 DER.
    pub private_key: Vec<u8>,
}

/// The private part stays out of logs.
impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("name", &self.name).finish_non_exhaustive()
    }
}

statement!(
    INSERT_TOKEN,
    "INSERT INTO tokens (account_id, kind, name, hash, scopes, created_at, expires_at, parent_id)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING RETURNING id"
);
statement!(
    INSERT_LIMIT,
    "INSERT INTO token_limits (token_id, owner_id, package_id, role) VALUES ($1, $2, $3, $4)"
);
statement!(
    TOKEN_HOLDER,
    "SELECT a.id, a.login, a.kind, t.id, t.kind, t.expires_at FROM tokens t JOIN accounts a ON a.id = t.account_id
     WHERE t.id = $1"
);
// Shared: those made with it wait for nobody but its revocation.
statement!(LOCK_PARENT, "SELECT expires_at FROM tokens WHERE id = $1 AND revoked_at IS NULL {share}");
statement!(
    LOCK_TOKEN,
    "SELECT account_id, parent_id FROM tokens WHERE id = $1 AND revoked_at IS NULL {lock}"
);
statement!(
    TOKENS_KEPT,
    "SELECT COUNT(*) FROM (SELECT id FROM tokens WHERE account_id = $1 AND revoked_at IS NULL LIMIT $2) AS kept"
);
statement!(
    TOKENS,
    "SELECT t.id, a.name, t.name, t.scopes, t.created_at, t.expires_at, t.revoked_at, t.kind, t.last_used_at,
       t.parent_id
     FROM tokens t JOIN accounts a ON a.id = t.account_id WHERE t.id > $1 ORDER BY t.id LIMIT $2"
);
statement!(
    TOKENS_OF,
    "SELECT t.id, a.name, t.name, t.scopes, t.created_at, t.expires_at, t.revoked_at, t.kind, t.last_used_at,
       t.parent_id
     FROM tokens t JOIN accounts a ON a.id = t.account_id
     WHERE t.account_id = $3 AND t.id > $1 ORDER BY t.id LIMIT $2"
);
statement!(
    TOKENS_KEPT_OF,
    "SELECT t.id, a.name, t.name, t.scopes, t.created_at, t.expires_at, t.revoked_at, t.kind, t.last_used_at,
       t.parent_id
     FROM tokens t JOIN accounts a ON a.id = t.account_id
     WHERE t.account_id = $3 AND t.revoked_at IS NULL AND t.id > $1
       AND ($5 < 0 OR t.id = $5 OR t.parent_id = $5) ORDER BY t.id LIMIT $2 OFFSET $4"
);
statement!(
    LIMITS_OF,
    "SELECT t.id, a.login, p.path, l.role FROM tokens t JOIN token_limits l ON l.token_id = t.id
     LEFT JOIN accounts a ON a.id = l.owner_id LEFT JOIN packages p ON p.id = l.package_id
     WHERE t.account_id = $1 AND t.revoked_at IS NULL AND t.id > $2 AND t.id <= $3"
);
// A token, and those that were made with it, and so on.
statement!(
    REVOKE_TOKEN,
    "WITH RECURSIVE made (id) AS (
       SELECT id FROM tokens WHERE id = $1
       UNION SELECT t.id FROM made JOIN tokens t ON t.parent_id = made.id)
     UPDATE tokens SET revoked_at = $2 WHERE id IN (SELECT id FROM made) AND revoked_at IS NULL"
);
statement!(REVOKE_ALL, "UPDATE tokens SET revoked_at = $2 WHERE account_id = $1 AND revoked_at IS NULL");
statement!(
    USED_BY_HASH,
    "UPDATE tokens SET last_used_at = $2 WHERE hash = $1 AND (last_used_at IS NULL OR last_used_at < $2)
       AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)"
);
statement!(
    USED,
    "UPDATE tokens SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)
       AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)"
);
statement!(
    REVOKE_CONFIGURED,
    "UPDATE tokens SET revoked_at = $2 WHERE kind = 2 AND hash <> $1 AND revoked_at IS NULL"
);
statement!(
    REVIVE_CONFIGURED,
    "UPDATE tokens SET revoked_at = NULL, account_id = $2 WHERE kind = 2 AND hash = $1"
);
statement!(SIGNING_KEYS, "SELECT name, private_key FROM signing_keys ORDER BY id DESC LIMIT 8");
statement!(
    INSERT_SIGNING_KEY,
    "INSERT INTO signing_keys (name, private_key, created_at) VALUES ($1, $2, $3)"
);

fn token(row: &Row<'_>) -> Result<Token, CatalogError> {
    Ok(Token {
        id: TokenId(row.int(0)?),
        account: row.text(1)?,
        name: row.text(2)?,
        scopes: Scopes::from_number(row.int(3)?),
        created_at: Micros(row.int(4)?),
        expires_at: row.int_or_null(5)?.map(Micros),
        revoked_at: row.int_or_null(6)?.map(Micros),
        kind: TokenKind::from_number(row.int(7)?)?,
        last_used_at: row.int_or_null(8)?.map(Micros),
        parent: row.int_or_null(9)?.map(TokenId),
    })
}

fn limit_row(row: &Row<'_>) -> Result<LimitRow, CatalogError> {
    Ok(LimitRow {
        token: TokenId(row.int(0)?),
        owner: row.text_or_null(1)?,
        package: row.text_or_null(2)?,
        role: Role::from_number(row.int(3)?).ok_or(CatalogError::Corrupt("role of a token"))?,
    })
}

impl<'tx> ReadTx<'_, 'tx> {
    /// Tokens by identifier, after `after`; of one account, or all.
    pub fn tokens(
        &mut self,
        _may: &Granted<'tx, Operate>,
        account: Option<AccountId>,
        after: TokenId,
        limit: u32,
    ) -> Result<Vec<Token>, CatalogError> {
        let page = [after.0.into(), Value::Int(limit.into())];
        match account {
            Some(account) => self.rows(&TOKENS_OF, &[page[0], page[1], account.0.into()], token),
            None => self.rows(&TOKENS, &page, token),
        }
    }

    /// Whose credential this caller showed; none of who showed none.
    pub fn token_holder(&mut self, caller: &Caller<'tx>) -> Result<Option<TokenHolder>, CatalogError> {
        let Some(token) = caller.token() else { return Ok(None) };
        self.row(&TOKEN_HOLDER, &[token.0.into()], |row| {
            Ok(TokenHolder {
                account: AccountId(row.int(0)?),
                login: row.text(1)?,
                account_kind: account_kind(row.int(2)?)?,
                token: TokenId(row.int(3)?),
                kind: TokenKind::from_number(row.int(4)?)?,
                expires_at: row.int_or_null(5)?.map(Micros),
            })
        })
    }

    /// The tokens of one's own account that were not revoked, by identifier, which is the window's key; `only`: that
    /// one and those made with it.
    pub fn own_tokens(
        &mut self,
        may: &Granted<'tx, Own>,
        only: Option<TokenId>,
        window: &Window,
    ) -> Result<Vec<Token>, CatalogError> {
        self.tokens_kept_of(may.own(), only, window)
    }

    /// What the fine-grained ones of them are for: those after `after`, up to `last`.
    pub fn own_token_limits(
        &mut self,
        may: &Granted<'tx, Own>,
        after: TokenId,
        last: TokenId,
    ) -> Result<Vec<LimitRow>, CatalogError> {
        self.rows(&LIMITS_OF, &[may.own().0.into(), after.0.into(), last.0.into()], limit_row)
    }

    /// The tokens of a robot that were not revoked, by identifier, which is the window's key; none when it is no robot
    /// of the organization.
    pub fn robot_tokens(
        &mut self,
        may: &Granted<'tx, Govern>,
        robot: AccountId,
        window: &Window,
    ) -> Result<Vec<Token>, CatalogError> {
        if !self.is_robot_of(may, robot)? {
            return Ok(Vec::new());
        }
        self.tokens_kept_of(robot, None, window)
    }

    fn tokens_kept_of(
        &mut self,
        account: AccountId,
        only: Option<TokenId>,
        window: &Window,
    ) -> Result<Vec<Token>, CatalogError> {
        let after = window.after.parse().unwrap_or(0_i64);
        let [_, limit, skip] = window.values();
        let only = only.map_or(-1, |id| id.0);
        self.rows(&TOKENS_KEPT_OF, &[after.into(), limit, account.0.into(), skip, only.into()], token)
    }

    /// How many tokens an account has that were not revoked, counted up to `most`.
    pub fn tokens_kept(&mut self, may: &Granted<'tx, MakeToken>, most: u32) -> Result<u64, CatalogError> {
        self.count_kept(may.holder(), most)
    }

    /// The same for a robot.
    pub fn robot_tokens_kept(
        &mut self,
        _may: &Granted<'tx, Govern>,
        robot: AccountId,
        most: u32,
    ) -> Result<u64, CatalogError> {
        self.count_kept(robot, most)
    }

    fn count_kept(&mut self, account: AccountId, most: u32) -> Result<u64, CatalogError> {
        let kept = self.row(&TOKENS_KEPT, &[account.0.into(), Value::Int(most.into())], |row| row.size(0))?;
        Ok(kept.unwrap_or(0))
    }

    /// The keys that bearer tokens are checked with, the newest first; that one signs.
    pub fn signing_keys(&mut self) -> Result<Vec<SigningKey>, CatalogError> {
        self.rows(&SIGNING_KEYS, &[], |row| Ok(SigningKey { name: row.text(0)?, private_key: row.bytes(1)? }))
    }
}

/// Times that a revocation looks for tokens that were made while it waited.
const GENERATIONS_MAX: usize = 64;

/// The first of two ends, where none is never.
fn earliest(one: Option<Micros>, other: Option<Micros>) -> Option<Micros> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

impl<'tx> WriteTx<'_, 'tx> {
    /// Stores a token. `None`: the same token exists, which for random ones never happens.
    pub fn create_token(
        &mut self,
        _may: &Granted<'tx, Operate>,
        new: &NewToken,
        now: Micros,
    ) -> Result<Option<TokenId>, CatalogError> {
        self.put_token(new, None, &[], now)
    }

    /// Stores a fine-grained token. `None`: as [`WriteTx::create_token`].
    pub fn create_limited_token(
        &mut self,
        _may: &Granted<'tx, Operate>,
        new: &NewToken,
        limits: &[Limit],
        now: Micros,
    ) -> Result<Option<TokenId>, CatalogError> {
        self.put_token(new, None, limits, now)
    }

    /// Stores a token that its holder makes with another one, which must still work: locks that one, so that a
    /// revocation ends both. What it may do and whose it is comes from the proof, and it ends no later than the one
    /// it was made with. `None`: that one was revoked meanwhile.
    pub fn make_token(
        &mut self,
        may: &Granted<'tx, MakeToken>,
        new: &NewToken,
        now: Micros,
    ) -> Result<Option<(TokenId, Option<Micros>)>, CatalogError> {
        let mut made = NewToken { account: may.holder(), scopes: may.scopes(), ..new.clone() };
        if let Some(parent) = may.parent() {
            let lock = self.row(&LOCK_PARENT, &[parent.0.into()], |row| row.int_or_null(0))?;
            let Some(end) = lock else { return Ok(None) };
            made.expires_at = earliest(made.expires_at, end.map(Micros));
        }
        let id = self.put_token(&made, may.parent(), may.limits(), now)?;
        Ok(id.map(|id| (id, made.expires_at)))
    }

    /// Stores a token for a robot of the organization. `None`: it is none of its.
    pub fn create_robot_token(
        &mut self,
        may: &Granted<'tx, Govern>,
        new: &NewToken,
        now: Micros,
    ) -> Result<Option<TokenId>, CatalogError> {
        if !self.lock_robot(may, new.account)? {
            return Ok(None);
        }
        self.put_token(new, None, &[], now)
    }

    pub(crate) fn put_token(
        &mut self,
        new: &NewToken,
        parent: Option<TokenId>,
        limits: &[Limit],
        now: Micros,
    ) -> Result<Option<TokenId>, CatalogError> {
        let values = [
            new.account.0.into(),
            new.kind.number().into(),
            new.name.as_str().into(),
            Value::Bytes(&new.hash),
            new.scopes.number().into(),
            now.0.into(),
            new.expires_at.map(|at| at.0).into(),
            parent.map(|id| id.0).into(),
        ];
        let Some(id) = self.inserted(&INSERT_TOKEN, &values)? else { return Ok(None) };
        for limit in limits {
            let (owner, package) = match limit.chosen {
                Chosen::Owner(account) => (Some(account.0), None),
                Chosen::Package(package) => (None, Some(package.0)),
            };
            let values = [id.into(), owner.into(), package.into(), limit.role.number().into()];
            self.execute(&INSERT_LIMIT, &values)?;
        }
        Ok(Some(TokenId(id)))
    }

    /// Revokes a token; whether it worked until now. Its bearer tokens end with it.
    pub fn revoke_token(
        &mut self,
        _may: &Granted<'tx, Operate>,
        token: TokenId,
        now: Micros,
    ) -> Result<bool, CatalogError> {
        let found = self.row(&LOCK_TOKEN, &[token.0.into()], |_| Ok(()))?;
        self.end_token(token, now)?;
        Ok(found.is_some())
    }

    /// Revokes a token of one's own account; whether it was one and worked. `only`: when it is that one or was made
    /// with it.
    pub fn revoke_own_token(
        &mut self,
        may: &Granted<'tx, Own>,
        token: TokenId,
        only: Option<TokenId>,
        now: Micros,
    ) -> Result<bool, CatalogError> {
        let found = self.row(&LOCK_TOKEN, &[token.0.into()], |row| {
            let of_account = row.int(0)? == may.own().0;
            let parent = row.int_or_null(1)?.map(TokenId);
            Ok(of_account && (only.is_none() || only == Some(token) || only == parent))
        })?;
        let found = found.unwrap_or(false);
        if found {
            self.end_token(token, now)?;
        }
        Ok(found)
    }

    /// Revokes a token of a robot of the organization; whether it was one and worked.
    pub fn revoke_robot_token(
        &mut self,
        may: &Granted<'tx, Govern>,
        robot: AccountId,
        token: TokenId,
        now: Micros,
    ) -> Result<bool, CatalogError> {
        let of_robot = self.is_robot_of(may, robot)?;
        let found = self.row(&LOCK_TOKEN, &[token.0.into()], |row| Ok(row.int(0)? == robot.0))?;
        let found = of_robot && found.unwrap_or(false);
        if found {
            self.end_token(token, now)?;
        }
        Ok(found)
    }

    /// The token and those made with it. While one is made its parent is locked, and what was made by then is seen by
    /// the next statement only: so again until there is none.
    fn end_token(&mut self, token: TokenId, now: Micros) -> Result<(), CatalogError> {
        for _ in 0..GENERATIONS_MAX {
            if self.execute(&REVOKE_TOKEN, &[token.0.into(), now.0.into()])? == 0 {
                break;
            }
        }
        Ok(())
    }

    pub(crate) fn end_all_tokens(&mut self, account: AccountId, now: Micros) -> Result<(), CatalogError> {
        self.execute(&REVOKE_ALL, &[account.0.into(), now.0.into()]).map(drop)
    }

    /// Notes when tokens were used last. Those that did not work then are left as they are.
    pub fn note_uses(
        &mut self,
        _may: &Granted<'tx, Collect>,
        uses: &[(Used, Micros)],
    ) -> Result<(), CatalogError> {
        for (token, at) in uses {
            match token {
                Used::Id(token) => self.execute(&USED, &[token.0.into(), at.0.into()])?,
                Used::Hash(hash) => self.execute(&USED_BY_HASH, &[Value::Bytes(hash), at.0.into()])?,
            };
        }
        Ok(())
    }

    /// Makes the configured token of `hash` the only one of its kind.
    pub fn replace_configured_token(
        &mut self,
        may: &Granted<'tx, Operate>,
        new: &NewToken,
        now: Micros,
    ) -> Result<(), CatalogError> {
        self.execute(&REVOKE_CONFIGURED, &[Value::Bytes(&new.hash), now.0.into()])?;
        if self.create_token(may, new, now)?.is_none() {
            self.execute(&REVIVE_CONFIGURED, &[Value::Bytes(&new.hash), new.account.0.into()])?;
        }
        Ok(())
    }

    /// Stores a key that signs from now on.
    pub fn create_signing_key(&mut self, key: &SigningKey, now: Micros) -> Result<(), CatalogError> {
        let values = [key.name.as_str().into(), (&key.private_key).into(), now.0.into()];
        self.execute(&INSERT_SIGNING_KEY, &values).map(drop)
    }
}
