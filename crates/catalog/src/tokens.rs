//! Personal access tokens, and the keys that sign bearer tokens.

use crate::sql::{Row, Value, statement};
use crate::{CatalogError, Micros, ReadTx, WriteTx};
use packhouse_access::{AccountId, Granted, Operate, Scopes, TokenId};

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
    "INSERT INTO tokens (account_id, kind, name, hash, scopes, created_at, expires_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING id"
);
statement!(
    TOKENS,
    "SELECT t.id, a.name, t.name, t.scopes, t.created_at, t.expires_at, t.revoked_at
     FROM tokens t JOIN accounts a ON a.id = t.account_id WHERE t.id > $1 ORDER BY t.id LIMIT $2"
);
statement!(
    TOKENS_OF,
    "SELECT t.id, a.name, t.name, t.scopes, t.created_at, t.expires_at, t.revoked_at
     FROM tokens t JOIN accounts a ON a.id = t.account_id
     WHERE t.account_id = $3 AND t.id > $1 ORDER BY t.id LIMIT $2"
);
statement!(REVOKE_TOKEN, "UPDATE tokens SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL");
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

    /// The keys that bearer tokens are checked with, the newest first; that one signs.
    pub fn signing_keys(&mut self) -> Result<Vec<SigningKey>, CatalogError> {
        self.rows(&SIGNING_KEYS, &[], |row| Ok(SigningKey { name: row.text(0)?, private_key: row.bytes(1)? }))
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
        let values = [
            new.account.0.into(),
            new.kind.number().into(),
            new.name.as_str().into(),
            Value::Bytes(&new.hash),
            new.scopes.number().into(),
            now.0.into(),
            new.expires_at.map(|at| at.0).into(),
        ];
        Ok(self.inserted(&INSERT_TOKEN, &values)?.map(TokenId))
    }

    /// Revokes a token; whether it worked until now. Its bearer tokens end with it.
    pub fn revoke_token(
        &mut self,
        _may: &Granted<'tx, Operate>,
        token: TokenId,
        now: Micros,
    ) -> Result<bool, CatalogError> {
        Ok(self.execute(&REVOKE_TOKEN, &[token.0.into(), now.0.into()])? > 0)
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
