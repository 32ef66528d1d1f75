//! Sign-in by a code (RFC 8628, as GitHub has it): a program gets two codes, a person types the short one where they
//! are signed in and says yes, and the program gets a token.
//!
//! What of it we leave out: programs are not registered, so any that names itself may ask, and the page shows that
//! name; `verification_uri_complete`, which would spare a person the look at what they approve. The token has those of
//! the asked scopes that the approving one holds, and ends with it; the operator approves all of them.

use crate::error::Fault;
use crate::identity::{Shown, hash};
use crate::manage::ManageError;
use crate::own_tokens::no_robot;
use crate::rates::{What, Whose};
use crate::token_format::{Secret, random_code};
use crate::{Denied, Service};
use packhouse_access::{Refused, Scopes, decide_hand_on, decide_own};
use packhouse_catalog::{CatalogError, Device, DeviceState, Micros, NewDevice, ReadTx};
use std::net::IpAddr;

/// Seconds between two questions of a program, at first.
const POLL_SECONDS: u32 = 5;
/// More of them each time it asks too soon (RFC 8628 §3.5).
const SLOWER_SECONDS: u32 = 5;
const POLL_SECONDS_MAX: u32 = 900;
/// Seconds that the codes live.
const CODE_SECONDS: u64 = 900;
/// Seconds for which a code that ended is still known as one.
pub(crate) const CODE_KEPT_SECONDS: u64 = 3600;
/// What a question may come too soon: networks are not even.
const EARLY_MICROS: i64 = 1_000_000;
/// Letters of the short code: no vowels, so that no words appear, and none that look alike (RFC 8628 §6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
const HALF: usize = 4;
const CLIENT_CHARS_MAX: usize = 64;
/// Tries to find codes that are nobody's.
const TRIES: usize = 4;
/// The GitHub CLI's, which is the same in every one of them.
const GITHUB_CLI: &str = "178c6fc778ccc68e1d6a";

/// A sign-in that began.
#[derive(Clone)]
pub struct DeviceBegun {
    /// For the program.
    pub device_code: Secret,
    /// For the person.
    pub user_code: String,
    /// Seconds that they live.
    pub expires_in: u64,
    /// Seconds between two questions.
    pub interval: u32,
}

/// A token at the end of it.
#[derive(Clone)]
pub struct DeviceToken {
    /// The token.
    pub token: Secret,
    /// What it may at most do.
    pub scopes: Scopes,
}

/// What a person is asked to approve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceAsked {
    /// What the program calls itself.
    pub client: String,
    /// What it asks for.
    pub scopes: Vec<&'static str>,
    /// The code as it is written.
    pub user_code: String,
}

/// There is no token, or no decision.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The program does not name itself, or not as it did before.
    #[error("the client is not the one that the codes were given to")]
    Client,
    /// No such code, or it was used.
    #[error("there is no such code")]
    Unknown,
    /// The codes ended.
    #[error("the codes have expired")]
    Expired,
    /// Nothing was decided yet.
    #[error("nobody has decided yet")]
    Pending,
    /// It asked too soon.
    #[error("it asks too often: once in {interval} s")]
    SlowDown {
        /// Seconds between two questions from now on.
        interval: u32,
    },
    /// Somebody said no.
    #[error("the sign-in was refused")]
    Refused,
    /// Too many attempts to enter a code.
    #[error("too many codes were tried; try again in {retry_seconds} s")]
    Attempts {
        /// When to try again.
        retry_seconds: u64,
    },
    /// May not.
    #[error(transparent)]
    Denied(Denied),
    /// Robots approve nothing.
    #[error("robots approve no sign-in")]
    Robot,
    /// Ours.
    #[error(transparent)]
    Fault(Fault),
}

impl From<Refused> for DeviceError {
    fn from(refused: Refused) -> Self {
        DeviceError::Denied(Denied::Refused(refused))
    }
}
impl From<Denied> for DeviceError {
    fn from(denied: Denied) -> Self {
        DeviceError::Denied(denied)
    }
}
impl From<CatalogError> for DeviceError {
    fn from(error: CatalogError) -> Self {
        DeviceError::Fault(Fault::Catalog(error))
    }
}

/// The code as it is written, whatever blanks, hyphens and case it was typed with.
pub(crate) fn written(typed: &str) -> Option<String> {
    let letters: Vec<u8> = typed
        .bytes()
        .filter(u8::is_ascii_alphanumeric)
        .map(|byte| byte.to_ascii_uppercase())
        .take(9)
        .collect();
    let known = letters.len() == 2 * HALF && letters.iter().all(|letter| LETTERS.contains(letter));
    let text = String::from_utf8(letters).ok().filter(|_| known)?;
    Some(format!("{}-{}", &text[..HALF], &text[HALF..]))
}

/// What the program calls itself, as people know it.
fn client_name(client_id: &str) -> Option<String> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let fits = !client_id.is_empty() && client_id.len() <= CLIENT_CHARS_MAX && client_id.chars().all(good);
    fits.then(|| if client_id == GITHUB_CLI { "GitHub CLI".to_owned() } else { client_id.to_owned() })
}

/// Unknown names are left out, as GitHub does: the answer says what there is.
fn known_scopes(text: &str) -> Scopes {
    let names = text.split([' ', ',']).filter(|name| !name.is_empty()).take(100);
    names.filter_map(|name| Scopes::from_names([name]).ok()).fold(Scopes::NONE, Scopes::with)
}

impl Service {
    /// Begins a sign-in for a program.
    pub async fn begin_device(
        &self,
        client_id: &str,
        scope: &str,
        address: IpAddr,
    ) -> Result<DeviceBegun, DeviceError> {
        let client = client_name(client_id).ok_or(DeviceError::Client)?;
        self.attempt(What::DeviceBegins, Whose::address(address))?;
        let (scopes, now) = (known_scopes(scope), self.clock.now());
        for _ in 0..TRIES {
            let random = |_| DeviceError::Fault(Fault::Random);
            let device_code = random_code(b"0123456789abcdef", 40).map_err(random)?;
            let letters = random_code(LETTERS, 2 * HALF).map_err(random)?;
            let user_code = format!("{}-{}", &letters[..HALF], &letters[HALF..]);
            let new = NewDevice {
                device_hash: hash(&device_code),
                user_hash: hash(&user_code),
                client: client.clone(),
                scopes,
                poll_seconds: POLL_SECONDS,
                expires_at: now.plus_seconds(CODE_SECONDS),
            };
            if self.catalog.write(move |tx| tx.begin_device(&new, now)).await? {
                return Ok(DeviceBegun {
                    device_code: Secret::given(device_code),
                    user_code,
                    expires_in: CODE_SECONDS,
                    interval: POLL_SECONDS,
                });
            }
        }
        Err(DeviceError::Fault(Fault::Random))
    }

    /// Whether somebody approved a program's code; if so, its token.
    pub async fn redeem_device(
        &self,
        client_id: &str,
        device_code: &str,
    ) -> Result<DeviceToken, DeviceError> {
        let client = client_name(client_id).ok_or(DeviceError::Client)?;
        let now = self.clock.now();
        let token = Secret::random_of_device().map_err(|_| DeviceError::Fault(Fault::Random))?;
        let (code, made) = (hash(device_code), hash(token.reveal()));
        let scopes = self
            .catalog
            .write(move |tx| {
                let Some(device) = tx.device(&code, now)? else { return Ok(Err(DeviceError::Unknown)) };
                if device.client != client {
                    return Ok(Err(DeviceError::Client));
                }
                if device.expires_at <= now {
                    return Ok(Err(DeviceError::Expired));
                }
                let approved = match &device.state {
                    DeviceState::Approved(approved) => approved,
                    DeviceState::Denied => return Ok(Err(DeviceError::Refused)),
                    DeviceState::Pending => {
                        let (seconds, error) = pending(&device, now);
                        tx.device_polled(&device, seconds, now)?;
                        // An error of the closure would take that back.
                        return Ok(Err(error));
                    }
                };
                let redeemed = tx.redeem_device(&device, approved, client.clone(), made, now)?;
                Ok::<_, DeviceError>(redeemed.map(|_| approved.scopes).ok_or(DeviceError::Refused))
            })
            .await??;
        Ok(DeviceToken { token, scopes })
    }

    /// What a person's code asks for. Counts as an attempt of the address.
    pub async fn device_asked(&self, typed: &str, client: IpAddr) -> Result<DeviceAsked, DeviceError> {
        self.attempt(What::UserCodes, Whose::address(client))?;
        let (now, user_code) = (self.clock.now(), written(typed).ok_or(DeviceError::Unknown)?);
        let code = hash(&user_code);
        let asked = self.catalog.read(move |tx| tx.device_asked(&code, now)).await?;
        let asked = asked.ok_or(DeviceError::Unknown)?;
        Ok(DeviceAsked { client: asked.client, scopes: asked.scopes.normalized(), user_code })
    }

    /// Approves or refuses a person's code for the account that is shown. Counts as an attempt of both. The scopes
    /// that the token will have.
    pub async fn decide_device(
        &self,
        shown: &Shown,
        typed: &str,
        client: IpAddr,
        approve: bool,
    ) -> Result<Vec<&'static str>, DeviceError> {
        self.attempt(What::UserCodes, Whose::address(client))?;
        let (presented, now) = (self.presented(shown)?, self.clock.now());
        let who = presented.clone();
        let account = self
            .catalog
            .read(move |tx| {
                let caller = crate::access::caller::<DeviceError>(tx, &who, now)?;
                Ok::<_, DeviceError>(caller.account())
            })
            .await?;
        if let Some(account) = account {
            self.attempt(What::UserCodes, Whose::Account(account.0))?;
        }
        let code = hash(&written(typed).ok_or(DeviceError::Unknown)?);
        self.catalog
            .write(move |tx| {
                let caller = crate::access::caller::<DeviceError>(tx, &presented, now)?;
                let own = decide_own(&caller, Scopes::NONE)?;
                no_robot(tx, &caller).map_err(robot)?;
                let reading: &mut ReadTx<'_, '_> = tx;
                let asked = reading.device_asked(&code, now)?.ok_or(DeviceError::Unknown)?;
                let (done, scopes) = if approve {
                    let may = decide_hand_on(&caller, asked.scopes)?;
                    (tx.approve_device(&may, &code, now)?, may.scopes())
                } else {
                    (tx.deny_device(&own, &code, now)?, Scopes::NONE)
                };
                if done { Ok(scopes.normalized()) } else { Err(DeviceError::Unknown) }
            })
            .await
    }

    fn attempt(&self, what: What, whose: Whose) -> Result<(), DeviceError> {
        self.count_codes(what, whose).map_err(|retry_seconds| DeviceError::Attempts { retry_seconds })
    }
}

fn robot(error: ManageError) -> DeviceError {
    match error {
        ManageError::Denied(denied) => DeviceError::Denied(denied),
        ManageError::Fault(fault) => DeviceError::Fault(fault),
        ManageError::Unknown { .. }
        | ManageError::Forbidden(_)
        | ManageError::TagHeld(_)
        | ManageError::Invalid { .. }
        | ManageError::Taken { .. } => DeviceError::Robot,
    }
}

/// How long the program waits from now on, and what it is told.
fn pending(device: &Device, now: Micros) -> (u32, DeviceError) {
    let next = device.polled_at.map(|at| at.plus_seconds(device.poll_seconds.into()).0 - EARLY_MICROS);
    if next.is_some_and(|next| now.0 < next) {
        let interval = device.poll_seconds.saturating_add(SLOWER_SECONDS).min(POLL_SECONDS_MAX);
        return (interval, DeviceError::SlowDown { interval });
    }
    (device.poll_seconds, DeviceError::Pending)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_people_type_it() {
        for typed in ["WDJB-MJHT", "wdjbmjht", " wdjb mjht ", "WDJB–MJHT"] {
            assert_eq!(written(typed).as_deref(), Some("WDJB-MJHT"), "{typed}");
        }
        for wrong in ["", "WDJB", "WDJB-MJHTX", "WDJA-MJHT", "WDJ1-MJHT", &"W".repeat(10_000)] {
            assert_eq!(written(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn programs_name_themselves_and_ask_for_what_there_is() {
        assert_eq!(client_name(GITHUB_CLI).as_deref(), Some("GitHub CLI"));
        assert_eq!(client_name("my-tool").as_deref(), Some("my-tool"));
        for bad in ["", "<script>", "a b", &"x".repeat(65)] {
            assert_eq!(client_name(bad), None);
        }
        let scopes = known_scopes("repo read:org  gist,workflow, fly:moon");
        assert_eq!(scopes.normalized(), ["gist", "read:org", "repo", "workflow"]);
    }
}
