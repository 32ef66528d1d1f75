//! Signed bearer tokens: short-lived, checked without a look-up, and never the last word. They carry an upper
//! bound; what their holder may do *now* is read in the transaction that does it.
//!
//! JSON Web Tokens (RFC 7519) with HS256. The server that signs is the only one that checks, so a shared secret
//! in the catalog does what a key pair would, at a twentieth of the cost per request. The algorithm is fixed
//! here and the key is found by `kid` among ours: nothing in a token chooses how it is checked.

use crate::Fault;
use ahash::RandomState;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use packhouse_access::{Actions, Bound, TokenId};
use packhouse_catalog::{Micros, Presented, SigningKey};
use quick_cache::Weighter;
use quick_cache::sync::{Cache, DefaultLifecycle};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The `service` of every challenge, and the audience of every token.
pub const SERVICE_NAME: &str = "packhouse";
const ISSUER: &str = "packhouse";
/// The audience of refresh tokens, so that neither kind passes for the other.
const REFRESH_AUDIENCE: &str = "packhouse-refresh";
/// Seconds by which the clocks of two nodes may differ.
const LEEWAY_SECONDS: u64 = 5;

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    /// The account's name, for people who look inside; not used.
    sub: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    /// The personal access token behind it; absent for a token given to nobody in particular.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<i64>,
    #[serde(default)]
    access: Vec<Access>,
}

/// One entry of `access` (distribution's token specification).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Access {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    actions: Vec<String>,
}

/// The keys, the newest first, and the tokens that were checked with them lately.
pub(crate) struct Keys {
    keys: Vec<Key>,
    /// By the whole token: a signature that was right once is right for as long as there are these keys. What the token
    /// says of time is looked at each time, and all else is read in the transaction that it is for.
    checked: Cache<Box<str>, Signed, Length, RandomState>,
}

/// Bytes of tokens that are remembered as checked.
const CHECKED_BYTES: u64 = 4 << 20;
/// What one takes beside its text, about.
const CHECKED_EXTRA_BYTES: u64 = 300;

/// A token whose signature is right. Whether its time has come and not gone is asked each time.
#[derive(Clone)]
pub struct Signed(Arc<Checked>);

/// The same token.
impl PartialEq for Signed {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Signed {}

impl Signed {
    /// What it presents now; none: its time has not come, or has gone.
    pub(crate) fn presents(&self, now: Micros) -> Option<Presented> {
        is_now(self.0.nbf, self.0.exp, now).then(|| self.0.presented.clone())
    }
}

struct Checked {
    presented: Presented,
    nbf: i64,
    exp: i64,
}

#[derive(Clone)]
struct Length;

impl Weighter<Box<str>, Signed> for Length {
    fn weight(&self, token: &Box<str>, _: &Signed) -> u64 {
        // What it says is about as long as it is.
        CHECKED_EXTRA_BYTES + 2 * token.len() as u64
    }
}

/// Whether the time of a token has come and not gone.
fn is_now(nbf: i64, exp: i64, now: Micros) -> bool {
    let now = now.0 / 1_000_000;
    nbf <= now.saturating_add(LEEWAY_SECONDS.cast_signed()) && now < exp
}

struct Key {
    name: String,
    sign: EncodingKey,
    check: DecodingKey,
}

/// Whether it has the three parts of a signed token; no personal token has dots.
pub(crate) fn looks_signed(token: &str) -> bool {
    token.split('.').count() == 3
}

impl Keys {
    pub(crate) fn new(keys: &[SigningKey]) -> Self {
        let key = |key: &SigningKey| Key {
            name: key.name.clone(),
            sign: EncodingKey::from_secret(&key.private_key),
            check: DecodingKey::from_secret(&key.private_key),
        };
        let items = usize::try_from(CHECKED_BYTES / 1024).unwrap_or(1024);
        let (hasher, life) = (RandomState::new(), DefaultLifecycle::default());
        let checked = Cache::with(items, CHECKED_BYTES, Length, hasher, life);
        Keys { keys: keys.iter().map(key).collect(), checked }
    }

    /// Signs a token that carries `bound`, for the holder of a personal access token or for nobody.
    pub(crate) fn sign(
        &self,
        token: Option<TokenId>,
        bound: &Bound,
        now: Micros,
        seconds: u64,
    ) -> Result<String, Fault> {
        let packages = bound.packages.iter().map(|(name, actions)| Access {
            kind: "repository".to_owned(),
            name: name.clone(),
            actions: actions.names().map(str::to_owned).collect(),
        });
        let catalog = bound.catalog.then(|| Access {
            kind: "registry".to_owned(),
            name: "catalog".to_owned(),
            actions: vec!["*".to_owned()],
        });
        self.encode(SERVICE_NAME, token, packages.chain(catalog).collect(), now, seconds)
    }

    /// Signs a token that stands for the personal access token at the token endpoint, and nowhere else.
    pub(crate) fn sign_refresh(&self, token: TokenId, now: Micros, seconds: u64) -> Result<String, Fault> {
        self.encode(REFRESH_AUDIENCE, Some(token), Vec::new(), now, seconds)
    }

    fn encode(
        &self,
        audience: &str,
        token: Option<TokenId>,
        access: Vec<Access>,
        now: Micros,
        seconds: u64,
    ) -> Result<String, Fault> {
        let key = self.keys.first().ok_or(Fault::Ended)?;
        let iat = now.0 / 1_000_000;
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: audience.to_owned(),
            sub: token.map_or_else(|| "anonymous".to_owned(), |id| id.to_string()),
            iat,
            nbf: iat,
            exp: iat.saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX)),
            token: token.map(|id| id.0),
            access,
        };
        let header = Header { kid: Some(key.name.clone()), ..Header::new(Algorithm::HS256) };
        jsonwebtoken::encode(&header, &claims, &key.sign).map_err(Fault::Signing)
    }

    /// A token that was checked lately.
    pub(crate) fn checked(&self, token: &str) -> Option<Signed> {
        self.checked.get(token)
    }

    /// What a bearer token presents, if it is one of ours and its time has come and not gone.
    pub(crate) fn verify(&self, token: &str, now: Micros) -> Option<Presented> {
        let claims = self.decode(token, SERVICE_NAME, now)?;
        let packages = claims.access.iter().filter(|access| access.kind == "repository").map(|access| {
            let actions = access.actions.iter().map(|name| Actions::from_name(name));
            (access.name.clone(), actions.fold(Actions::NONE, Actions::with))
        });
        let catalog =
            claims.access.iter().any(|access| access.kind == "registry" && access.name == "catalog");
        let bound = Bound { packages: packages.collect(), catalog };
        let presented = match claims.token {
            Some(token) => Presented::Bearer { token: TokenId(token), bound },
            None => Presented::Anonymous { bound: Some(bound) },
        };
        let checked = Checked { presented: presented.clone(), nbf: claims.nbf, exp: claims.exp };
        self.checked.insert(token.into(), Signed(Arc::new(checked)));
        Some(presented)
    }

    /// The personal access token behind a refresh token.
    pub(crate) fn verify_refresh(&self, token: &str, now: Micros) -> Option<TokenId> {
        self.decode(token, REFRESH_AUDIENCE, now)?.token.map(TokenId)
    }

    fn decode(&self, token: &str, audience: &str, now: Micros) -> Option<Claims> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        let name = header.kid.as_deref()?;
        let key = self.keys.iter().find(|key| key.name == name)?;
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&[audience]);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "nbf", "aud", "iss"]);
        // Times are compared below, with our own clock.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &key.check, &validation).ok()?.claims;
        is_now(claims.nbf, claims.exp, now).then_some(claims)
    }
}
