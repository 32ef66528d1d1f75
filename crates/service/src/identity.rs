//! From what a caller shows to what the catalog looks up.

use crate::access::caller;
use crate::bearer::{self, Keys, Signed};
use crate::{Denied, ListError, Service};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use packhouse_access::{AccountId, Granted, Operate, Scopes};
use packhouse_catalog::Presented;
use sha2::{Digest as _, Sha256};

/// The longest credential that is looked at.
const CREDENTIAL_MAX: usize = 8192;

/// What a caller showed, as it was sent.
#[derive(Clone, PartialEq, Eq)]
pub enum Shown {
    /// No credential.
    Nothing,
    /// A user name, which is not looked at, and a token as the password. A token as the user name with no
    /// password is taken too, as GitHub takes it.
    Basic {
        /// Any.
        user: String,
        /// The token.
        password: String,
    },
    /// A signed bearer token, a personal access token, or the base64 of one.
    Bearer(String),
    /// A signed bearer token whose signature is right.
    Signed(Signed),
    /// The operator's word that they act as a user. Only a command of the operator's makes one.
    ActingAs(ActingAs),
}

/// A user as whom the operator acts. No edge can make one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ActingAs(AccountId);

impl ActingAs {
    /// As a user whom the operator named: the proof is that they operate the site.
    pub(crate) fn user<'tx>(_may: &Granted<'tx, Operate>, user: AccountId) -> Self {
        ActingAs(user)
    }
}

impl Shown {
    /// Whether it came as a bearer token.
    #[must_use]
    pub fn is_bearer(&self) -> bool {
        matches!(self, Shown::Bearer(_) | Shown::Signed(_))
    }

    /// What an `Authorization` header shows (RFC 7617, RFC 6750; `token` is GitHub's own word for `Bearer`). One that
    /// cannot be read is a credential that is not valid, not none at all.
    #[must_use]
    pub fn parse(authorization: Option<&[u8]>) -> Self {
        let Some(header) = authorization else { return Shown::Nothing };
        let unreadable = || Shown::Bearer(String::new());
        let Some((scheme, value)) = credential(header) else { return unreadable() };
        if scheme.eq_ignore_ascii_case("basic") {
            let decoded = STANDARD.decode(value).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let Some((user, password)) = decoded.as_deref().and_then(|text| text.split_once(':')) else {
                return unreadable();
            };
            return Shown::Basic { user: user.to_owned(), password: password.to_owned() };
        }
        if is_bearer(scheme) {
            return Shown::Bearer(value.to_owned());
        }
        unreadable()
    }
}

/// The two parts of an `Authorization` header.
fn credential(header: &[u8]) -> Option<(&str, &str)> {
    let (scheme, value) = std::str::from_utf8(header).ok()?.trim().split_once(' ')?;
    Some((scheme, value.trim()))
}

fn is_bearer(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token")
}

/// Who a credential belongs to, and what it may at most do: what the API tells its holder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The account; none: nobody signed in.
    pub account: Option<i64>,
    /// The token.
    pub token: Option<i64>,
    /// Scopes of a classic token.
    pub scopes: Scopes,
    /// Whether it is a fine-grained token, which has no scopes.
    pub fine_grained: bool,
}

/// Secrets stay out of logs.
impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Shown::Nothing => "Nothing",
            Shown::Basic { .. } => "Basic(…)",
            Shown::Bearer(_) | Shown::Signed(_) => "Bearer(…)",
            Shown::ActingAs(_) => "ActingAs(…)",
        })
    }
}

impl Service {
    /// What an `Authorization` header shows to the registry: as [`Shown::parse`], with the token of who has pulled lately
    /// looked up at once, and not each time that it is asked about.
    #[must_use]
    pub fn shown(&self, authorization: Option<&[u8]>) -> Shown {
        let bearer = authorization.and_then(credential).filter(|(scheme, _)| is_bearer(scheme));
        match bearer.and_then(|(_, token)| self.keys.checked(token)) {
            Some(signed) => Shown::Signed(signed),
            None => Shown::parse(authorization),
        }
    }

    /// Who shows this, now. A bearer token of the registry is no credential here: it was made for `/v2/`.
    pub async fn identify(&self, shown: &Shown) -> Result<Identity, ListError> {
        let presented = self.presented(shown)?;
        if matches!(presented, Presented::Bearer { .. } | Presented::Anonymous { bound: Some(_) }) {
            return Err(Denied::Credential.into());
        }
        let (now, limits) = (self.clock.now(), std::sync::Arc::clone(&self.limits));
        self.catalog
            .read_remembered(move |tx| {
                let caller = caller::<ListError>(tx, &presented, now)?;
                if let Some(token) = caller.token() {
                    limits.note_use(token, now);
                }
                Ok(Identity {
                    account: caller.account().map(|id| id.0),
                    token: caller.token().map(|id| id.0),
                    scopes: caller.scopes(),
                    fine_grained: caller.is_limited(),
                })
            })
            .await
    }

    pub(crate) fn presented(&self, shown: &Shown) -> Result<Presented, Denied> {
        presented(shown, &self.keys, self.clock.now())
    }
}

fn presented(shown: &Shown, keys: &Keys, now: packhouse_catalog::Micros) -> Result<Presented, Denied> {
    match shown {
        Shown::Nothing => Ok(Presented::Anonymous { bound: None }),
        Shown::ActingAs(ActingAs(user)) => Ok(Presented::ActingAs(*user)),
        Shown::Basic { user, password } => {
            let token = if password.is_empty() { user } else { password };
            if token.is_empty() || token.len() > CREDENTIAL_MAX {
                return Err(Denied::Credential);
            }
            Ok(Presented::Token { hash: hash(token), or: None })
        }
        Shown::Bearer(token) if token.is_empty() || token.len() > CREDENTIAL_MAX => Err(Denied::Credential),
        // What Homebrew and others send to ghcr.io in place of an anonymous token: the base64 of `A`.
        Shown::Bearer(token) if token == "QQ==" => Ok(Presented::Anonymous { bound: None }),
        Shown::Signed(signed) => signed.presents(now).ok_or(Denied::Credential),
        Shown::Bearer(token) => match keys.checked(token) {
            Some(signed) => signed.presents(now).ok_or(Denied::Credential),
            None if bearer::looks_signed(token) => keys.verify(token, now).ok_or(Denied::Credential),
            None => Ok(Presented::Token { hash: hash(token), or: decoded(token).map(|t| hash(&t)) }),
        },
    }
}

/// The token inside a base64 of `token` or `user:token`.
fn decoded(text: &str) -> Option<String> {
    let bytes =
        [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE_NO_PAD].iter().find_map(|base| base.decode(text).ok())?;
    let text = String::from_utf8(bytes).ok()?;
    let token = text.split_once(':').map_or(text.as_str(), |(_, token)| token);
    Some(token.trim_end_matches('\n').to_owned())
}

/// Tokens are long and random, so a plain hash does; argon2 is for passwords.
pub(crate) fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
