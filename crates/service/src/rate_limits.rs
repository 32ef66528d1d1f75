//! How often somebody may ask: GitHub's limits for the API, generous ones for the registry. Each node counts for
//! itself.
//!
//! The API counts who signed in by token (GitHub by account; a person's program that has run wild must not lock out
//! their others), and everybody else by address; a credential that is refused counts as its address. The registry counts by token and by address. For a token that is not signed,
//! so that nobody knows yet whether it is one, a request is counted when it has been answered: as the token's when it
//! went well, as the address's otherwise. So guessed tokens take no place.

use crate::Service;
use crate::identity::Shown;
use crate::rates::{Rule, Tally, What, Whose};
use ahash::RandomState;
use packhouse_access::TokenId;
use packhouse_catalog::{Micros, Presented, Used};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

const MINUTE: u32 = 60;
const HOUR: u32 = 3600;
/// Points of an act that changes something (GitHub: "Calculating points for the secondary rate limit").
const WRITE_POINTS: u32 = 5;
/// Seconds to wait when too much runs at once.
const RUNNING_RETRY_SECONDS: u64 = 1;

/// How much is allowed. 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateSettings {
    /// Requests to the API of a token in an hour.
    pub api_token_hour: u32,
    /// The same of an address without a working credential.
    pub api_address_hour: u32,
    /// Points in a minute: a read is 1, a write 5.
    pub api_points_minute: u32,
    /// Requests to the API at once.
    pub api_concurrent: u32,
    /// Requests that create or change something, in a minute. Deletions are not among them: the clean-up Action sends
    /// a hundred at once.
    pub api_writes_minute: u32,
    /// The same in an hour.
    pub api_writes_hour: u32,
    /// Reads of the registry in a minute, of a token or an address.
    pub registry_reads_minute: u32,
    /// The same for writes.
    pub registry_writes_minute: u32,
    /// Attempts to enter a code of the device flow in an hour, of an account or an address, and sign-ins that an
    /// address begins.
    pub user_codes_hour: u32,
}

/// Refused credentials of an address in a minute, at the most.
const GUESSES_MINUTE: u32 = 2_000;

/// What a request to the API does, as far as its limits are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiAct {
    /// It changes nothing.
    Read,
    /// It deletes.
    Delete,
    /// It creates or changes something.
    Write,
}

impl Default for RateSettings {
    /// GitHub's for the API. For the registry what stops a program that has run wild, and no machine that works: its
    /// own speed is the limit (ghcr.io allows 44,000 reads and 2,000 writes).
    fn default() -> Self {
        RateSettings {
            api_token_hour: 5_000,
            api_address_hour: 60,
            api_points_minute: 900,
            api_concurrent: 100,
            api_writes_minute: 80,
            api_writes_hour: 500,
            registry_reads_minute: 6_000_000,
            registry_writes_minute: 600_000,
            user_codes_hour: 50,
        }
    }
}

impl RateSettings {
    /// No limits but those on guessing.
    pub fn off() -> Self {
        RateSettings {
            api_token_hour: 0,
            api_address_hour: 0,
            api_points_minute: 0,
            api_concurrent: 0,
            api_writes_minute: 0,
            api_writes_hour: 0,
            registry_reads_minute: 0,
            registry_writes_minute: 0,
            ..RateSettings::default()
        }
    }
}

/// How somebody stands in their hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests in an hour.
    pub limit: u32,
    /// Those that were made.
    pub used: u32,
    /// When the hour ends, seconds since 1970.
    pub reset: i64,
}

impl Rate {
    /// Requests that are left.
    pub fn remaining(&self) -> u32 {
        self.limit.saturating_sub(self.used)
    }
}

/// Too much was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Limited {
    /// All requests of the hour were made.
    #[error("all requests of the hour were made")]
    Hour {
        /// How the hour stands.
        rate: Rate,
        /// When it ends.
        retry_seconds: u64,
    },
    /// Too much at once, or in a minute.
    #[error("too much at once; try again in {retry_seconds} s")]
    Pace {
        /// When to try again.
        retry_seconds: u64,
        /// How the hour stands, where it is counted.
        rate: Option<Rate>,
    },
}

impl Limited {
    /// How the hour stands, where it is counted.
    pub fn rate(&self) -> Option<Rate> {
        match self {
            Limited::Hour { rate, .. } => Some(*rate),
            Limited::Pace { rate, .. } => *rate,
        }
    }
}

/// Requests that run, by who sent them.
type Running = Mutex<HashMap<Whose, u32>>;

/// A request to the API that is within the limits. It runs until this is dropped.
#[must_use]
pub struct ApiPass {
    /// How the hour stands with it; none: hours are not limited.
    pub rate: Option<Rate>,
    _running: OneRunning,
}

struct OneRunning {
    whose: Whose,
    running: Arc<Running>,
}

impl OneRunning {
    /// One more, unless that would be more than `most`; 0 is any number.
    fn begin(running: &Arc<Running>, whose: Whose, most: u32) -> Option<Self> {
        let mut counts = running.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get(&whose).copied().unwrap_or(0);
        if most > 0 && count >= most {
            return None;
        }
        counts.insert(whose, count + 1);
        Some(OneRunning { whose, running: Arc::clone(running) })
    }
}

impl Drop for OneRunning {
    fn drop(&mut self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = running.get_mut(&self.whose) {
            *count -= 1;
            if *count == 0 {
                running.remove(&self.whose);
            }
        }
    }
}

/// A request to the registry that is within the limits.
#[must_use]
pub struct Admission {
    what: What,
    rule: Rule,
    address: Option<Whose>,
    /// A token that is counted when it is known to be one.
    pending: Option<[u8; 32]>,
    now: Micros,
}

/// The state of the limits.
#[derive(Default)]
pub(crate) struct Limits {
    pub(crate) windows: crate::rates::Windows,
    running: Arc<Running>,
    uses: Mutex<HashMap<Used, Micros, RandomState>>,
}

/// Tokens whose use is remembered until it is stored; that of more is lost.
const USES_MAX: usize = 65_536;

impl Limits {
    /// Notes that a token was used by who it identifies.
    pub(crate) fn note_use(&self, token: TokenId, now: Micros) {
        self.note(Used::Id(token), now);
    }

    fn note(&self, token: Used, now: Micros) {
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = uses.get_mut(&token) {
            *at = now;
        } else if uses.len() < USES_MAX {
            uses.insert(token, now);
        }
    }

    /// What was used since this was last asked.
    pub(crate) fn take_uses(&self) -> Vec<(Used, Micros)> {
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        uses.drain().collect()
    }
}

fn rate(rule: Rule, tally: Tally) -> Option<Rate> {
    let reset = tally.ends.0.div_euclid(1_000_000);
    (rule.limit > 0).then_some(Rate { limit: rule.limit, used: tally.used, reset })
}

/// Whole seconds until then, one at least.
fn seconds_until(ends: Micros, now: Micros) -> u64 {
    u64::try_from((ends.0 - now.0).max(0)).unwrap_or(0).div_ceil(1_000_000).max(1)
}

impl Service {
    fn api_rule(&self, token: Option<i64>) -> Rule {
        let rates = &self.settings.rates;
        let limit = if token.is_some() { rates.api_token_hour } else { rates.api_address_hour };
        Rule { limit, seconds: HOUR }
    }

    /// Counts a request to the API: of a token, or of an address where nobody is signed in or the credential was
    /// refused.
    pub fn begin_api(&self, token: Option<i64>, client: IpAddr, act: ApiAct) -> Result<ApiPass, Limited> {
        let (now, rates) = (self.clock.now(), &self.settings.rates);
        let whose = token.map_or_else(|| Whose::address(client), Whose::Token);
        let (windows, hour) = (&self.limits.windows, self.api_rule(token));
        let standing = || rate(hour, windows.look(What::ApiHour, whose, hour, 0, now));
        let points = (
            What::ApiPoints,
            rates.api_points_minute,
            MINUTE,
            if act == ApiAct::Read { 1 } else { WRITE_POINTS },
        );
        let by_minute = (What::ApiWritesMinute, rates.api_writes_minute, MINUTE, 1);
        let by_hour = (What::ApiWritesHour, rates.api_writes_hour, HOUR, 1);
        let paces = [points, by_minute, by_hour];
        let paces = &paces[..if act == ApiAct::Write { 3 } else { 1 }];
        let Some(one) = OneRunning::begin(&self.limits.running, whose, rates.api_concurrent) else {
            return Err(Limited::Pace { retry_seconds: RUNNING_RETRY_SECONDS, rate: standing() });
        };
        // All are asked before any is counted: what is refused by one takes nothing from the others.
        for &(what, limit, seconds, cost) in paces {
            let tally = windows.look(what, whose, Rule { limit, seconds }, cost, now);
            if tally.over {
                return Err(Limited::Pace {
                    retry_seconds: seconds_until(tally.ends, now),
                    rate: standing(),
                });
            }
        }
        let tally = windows.count(What::ApiHour, whose, hour, 1, now);
        if let (true, Some(rate)) = (tally.over, rate(hour, tally)) {
            return Err(Limited::Hour { rate, retry_seconds: seconds_until(tally.ends, now) });
        }
        for &(what, limit, seconds, cost) in paces.iter().filter(|(_, limit, ..)| *limit > 0) {
            let _ = windows.count(what, whose, Rule { limit, seconds }, cost, now);
        }
        Ok(ApiPass { rate: rate(hour, tally), _running: one })
    }

    /// Takes back a request of the hour: one whose answer the client had already (304) does not count. How the hour
    /// stands then.
    pub fn give_back_api(&self, token: Option<i64>, client: IpAddr) -> Option<Rate> {
        let whose = token.map_or_else(|| Whose::address(client), Whose::Token);
        self.limits.windows.give_back(What::ApiHour, whose, 1, self.clock.now());
        self.api_rate(token, client)
    }

    /// How the hour stands, which asking does not change; none: hours are not limited.
    pub fn api_rate(&self, token: Option<i64>, client: IpAddr) -> Option<Rate> {
        let whose = token.map_or_else(|| Whose::address(client), Whose::Token);
        let rule = self.api_rule(token);
        rate(rule, self.limits.windows.look(What::ApiHour, whose, rule, 0, self.clock.now()))
    }

    /// Counts a request to the registry, as far as it is known whose it is.
    pub fn admit(&self, shown: &Shown, client: Option<IpAddr>, write: bool) -> Result<Admission, Limited> {
        let now = self.clock.now();
        let (what, limit) = if write {
            (What::RegistryWrites, self.settings.rates.registry_writes_minute)
        } else {
            (What::RegistryReads, self.settings.rates.registry_reads_minute)
        };
        let rule = Rule { limit, seconds: MINUTE };
        let address = client.map(Whose::address);
        let windows = &self.limits.windows;
        let mut pending = None;
        let tally = match self.presented(shown) {
            Ok(Presented::Token { hash, .. }) => {
                pending = Some(hash);
                let token = windows.look(what, Whose::Secret(hash), rule, 1, now);
                // An address that guesses is not listened to, but for tokens that were seen to be some.
                let address = address.filter(|_| token.used == 0);
                let guesses = self.guesses();
                address.map_or(token, |whose| windows.look(What::RegistryRefused, whose, guesses, 1, now))
            }
            Ok(Presented::Bearer { token, .. }) if limit > 0 => {
                self.limits.note(Used::Id(token), now);
                windows.count(what, Whose::Token(token.0), rule, 1, now)
            }
            Ok(Presented::Bearer { token, .. }) => {
                self.limits.note(Used::Id(token), now);
                return Ok(Admission { what, rule, address, pending, now });
            }
            _ => match address.filter(|_| limit > 0) {
                Some(whose) => windows.count(what, whose, rule, 1, now),
                None => return Ok(Admission { what, rule, address, pending, now }),
            },
        };
        if tally.over {
            return Err(Limited::Pace { retry_seconds: seconds_until(tally.ends, now), rate: None });
        }
        Ok(Admission { what, rule, address, pending, now })
    }

    /// Counts what could not be counted before: `known`, when the answer shows that the credential is one.
    pub fn settle(&self, admission: &Admission, known: bool) {
        let Some(hash) = admission.pending else { return };
        let windows = &self.limits.windows;
        if known {
            self.limits.note(Used::Hash(hash), admission.now);
            if admission.rule.limit > 0 {
                let _ = windows.count(admission.what, Whose::Secret(hash), admission.rule, 1, admission.now);
            }
        } else if let Some(whose) = admission.address {
            let _ = windows.count(What::RegistryRefused, whose, self.guesses(), 1, admission.now);
        }
    }

    /// Refused credentials of an address in a minute.
    fn guesses(&self) -> Rule {
        Rule { limit: self.settings.rates.registry_writes_minute.min(GUESSES_MINUTE), seconds: MINUTE }
    }

    /// Counts an attempt to enter a code, or a sign-in that begins; if that is too many, the seconds to wait.
    pub(crate) fn count_codes(&self, what: What, whose: Whose) -> Result<(), u64> {
        let now = self.clock.now();
        let rule = Rule { limit: self.settings.rates.user_codes_hour, seconds: HOUR };
        let tally = self.limits.windows.count(what, whose, rule, 1, now);
        if tally.over { Err(seconds_until(tally.ends, now)) } else { Ok(()) }
    }
}
