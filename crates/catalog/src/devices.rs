//! Sign-in by a code: the device flow (RFC 8628). What a program holds and what a person types are kept as hashes.

use crate::sql::{Row, Value, statement};
use crate::tokens::{NewToken, TokenKind};
use crate::{CatalogError, Micros, ReadTx, WriteTx};
use packhouse_access::{AccountId, Collect, Granted, MakeToken, Operate, Own, Scopes, TokenId};

/// A sign-in that begins.
#[derive(Clone, Debug)]
pub struct NewDevice {
    /// SHA-256 of the program's code.
    pub device_hash: [u8; 32],
    /// SHA-256 of the person's.
    pub user_hash: [u8; 32],
    /// What the program calls itself.
    pub client: String,
    /// What it asks for.
    pub scopes: Scopes,
    /// Seconds between two of its questions.
    pub poll_seconds: u32,
    /// When the codes end.
    pub expires_at: Micros,
}

/// What a person is asked to approve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceAsked {
    /// What the program calls itself.
    pub client: String,
    /// What it asks for.
    pub scopes: Scopes,
}

/// How a sign-in stands. What may be made of it stays inside.
#[derive(Clone, Debug)]
pub struct Device {
    id: i64,
    /// What the program calls itself.
    pub client: String,
    /// Seconds between two of its questions.
    pub poll_seconds: u32,
    /// When it asked last.
    pub polled_at: Option<Micros>,
    /// When the codes end.
    pub expires_at: Micros,
    /// What was decided.
    pub state: DeviceState,
}

/// What was decided about a sign-in.
#[derive(Clone, Debug)]
pub enum DeviceState {
    /// Nothing yet.
    Pending,
    /// No.
    Denied,
    /// Yes.
    Approved(Approved),
}

/// A sign-in that somebody approved. Made by the catalog alone, and good for one token.
#[derive(Clone, Debug)]
pub struct Approved {
    account: AccountId,
    parent: Option<TokenId>,
    /// When the token ends that it was approved with.
    ends: Option<Micros>,
    /// What the token will at most do.
    pub scopes: Scopes,
}

statement!(
    INSERT_DEVICE,
    "INSERT INTO device_codes (device_hash, user_hash, client, scopes, created_at, expires_at, poll_seconds)
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING id"
);
statement!(
    DEVICE_ASKED,
    "SELECT client, scopes FROM device_codes
     WHERE user_hash = $1 AND account_id IS NULL AND denied = 0 AND expires_at > $2"
);
statement!(LOCK_DEVICE, "SELECT id FROM device_codes WHERE device_hash = $1 {lock}");
statement!(
    DEVICE,
    "SELECT d.id, d.client, d.poll_seconds, d.polled_at, d.expires_at, d.denied, d.account_id, d.token_id,
       d.scopes, a.suspended_at, t.revoked_at, t.expires_at
     FROM device_codes d LEFT JOIN accounts a ON a.id = d.account_id LEFT JOIN tokens t ON t.id = d.token_id
     WHERE d.device_hash = $1"
);
statement!(POLLED, "UPDATE device_codes SET polled_at = $2, poll_seconds = $3 WHERE id = $1");
statement!(
    DECIDE_DEVICE,
    "UPDATE device_codes SET account_id = $2, token_id = $3, scopes = $4, denied = $5
     WHERE user_hash = $1 AND account_id IS NULL AND denied = 0 AND expires_at > $6"
);
statement!(REMOVE_DEVICE, "DELETE FROM device_codes WHERE id = $1");
statement!(
    REMOVE_EXPIRED_DEVICES,
    "DELETE FROM device_codes
     WHERE id IN (SELECT id FROM device_codes WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)"
);
statement!(
    LOCK_APPROVER,
    "SELECT id FROM tokens WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2) {share}"
);

fn device(row: &Row<'_>, now: Micros) -> Result<Device, CatalogError> {
    let approved = row.int_or_null(6)?;
    // Who approved it and may no longer sign in gives nothing any more.
    let ends = row.int_or_null(11)?;
    let gone = row.int_or_null(9)?.is_some()
        || row.int_or_null(10)?.is_some()
        || ends.is_some_and(|ends| ends <= now.0);
    let state = match approved {
        _ if row.int(5)? != 0 => DeviceState::Denied,
        Some(_) if gone => DeviceState::Denied,
        Some(account) => DeviceState::Approved(Approved {
            account: AccountId(account),
            parent: row.int_or_null(7)?.map(TokenId),
            ends: ends.map(Micros),
            scopes: Scopes::from_number(row.int(8)?),
        }),
        None => DeviceState::Pending,
    };
    Ok(Device {
        id: row.int(0)?,
        client: row.text(1)?,
        poll_seconds: u32::try_from(row.int(2)?).map_err(|_| CatalogError::Corrupt("interval"))?,
        polled_at: row.int_or_null(3)?.map(Micros),
        expires_at: Micros(row.int(4)?),
        state,
    })
}

impl ReadTx<'_, '_> {
    /// What the sign-in of a person's code asks for, while nothing was decided.
    pub fn device_asked(
        &mut self,
        user_hash: &[u8; 32],
        now: Micros,
    ) -> Result<Option<DeviceAsked>, CatalogError> {
        self.row(&DEVICE_ASKED, &[Value::Bytes(user_hash), now.0.into()], |row| {
            Ok(DeviceAsked { client: row.text(0)?, scopes: Scopes::from_number(row.int(1)?) })
        })
    }
}

impl<'tx> WriteTx<'_, 'tx> {
    /// Begins a sign-in, which anybody may. False: one of the codes is another's.
    pub fn begin_device(&mut self, new: &NewDevice, now: Micros) -> Result<bool, CatalogError> {
        let values = [
            Value::Bytes(&new.device_hash),
            Value::Bytes(&new.user_hash),
            new.client.as_str().into(),
            new.scopes.number().into(),
            now.0.into(),
            new.expires_at.0.into(),
            Value::Int(new.poll_seconds.into()),
        ];
        Ok(self.inserted(&INSERT_DEVICE, &values)?.is_some())
    }

    /// How the sign-in of a program's code stands, its row locked.
    pub fn device(&mut self, device_hash: &[u8; 32], now: Micros) -> Result<Option<Device>, CatalogError> {
        // Lock first, then read in a statement of its own, which sees what was decided meanwhile.
        self.row(&LOCK_DEVICE, &[Value::Bytes(device_hash)], |_| Ok(()))?;
        self.row(&DEVICE, &[Value::Bytes(device_hash)], |row| device(row, now))
    }

    /// Notes that the program asked, and how long it shall wait from now on.
    pub fn device_polled(
        &mut self,
        device: &Device,
        poll_seconds: u32,
        now: Micros,
    ) -> Result<(), CatalogError> {
        let values = [device.id.into(), now.0.into(), Value::Int(poll_seconds.into())];
        self.execute(&POLLED, &values).map(drop)
    }

    /// Approves a sign-in, for the account, with the scopes and by the token of the proof; whether one waits.
    pub fn approve_device(
        &mut self,
        may: &Granted<'tx, MakeToken>,
        user_hash: &[u8; 32],
        now: Micros,
    ) -> Result<bool, CatalogError> {
        self.decide_device(user_hash, Some(may.holder()), may.parent(), may.scopes(), now)
    }

    /// Refuses a sign-in; whether one waits.
    pub fn deny_device(
        &mut self,
        _may: &Granted<'tx, Own>,
        user_hash: &[u8; 32],
        now: Micros,
    ) -> Result<bool, CatalogError> {
        self.decide_device(user_hash, None, None, Scopes::NONE, now)
    }

    /// Approves a sign-in for an account, with all that it asks for; whether one waits.
    pub fn approve_device_for(
        &mut self,
        _may: &Granted<'tx, Operate>,
        account: AccountId,
        user_hash: &[u8; 32],
        now: Micros,
    ) -> Result<bool, CatalogError> {
        let Some(asked) = self.device_asked(user_hash, now)? else { return Ok(false) };
        self.decide_device(user_hash, Some(account), None, asked.scopes, now)
    }

    fn decide_device(
        &mut self,
        user_hash: &[u8; 32],
        account: Option<AccountId>,
        token: Option<TokenId>,
        scopes: Scopes,
        now: Micros,
    ) -> Result<bool, CatalogError> {
        let values = [
            Value::Bytes(user_hash),
            account.map(|id| id.0).into(),
            token.map(|id| id.0).into(),
            scopes.number().into(),
            i64::from(account.is_none()).into(),
            now.0.into(),
        ];
        Ok(self.execute(&DECIDE_DEVICE, &values)? > 0)
    }

    /// Makes the token of an approved sign-in, which ends with that. `None`: what it was approved with was revoked.
    pub fn redeem_device(
        &mut self,
        device: &Device,
        approved: &Approved,
        name: String,
        hash: [u8; 32],
        now: Micros,
    ) -> Result<Option<TokenId>, CatalogError> {
        self.execute(&REMOVE_DEVICE, &[device.id.into()])?;
        if let Some(parent) = approved.parent {
            let works = self.row(&LOCK_APPROVER, &[parent.0.into(), now.0.into()], |_| Ok(()))?;
            if works.is_none() {
                return Ok(None);
            }
        }
        let new = NewToken {
            account: approved.account,
            kind: TokenKind::Device,
            name,
            hash,
            scopes: approved.scopes,
            expires_at: approved.ends,
        };
        self.put_token(&new, approved.parent, &[], now)
    }

    /// Removes at most `limit` sign-ins whose codes ended before `until`; returns how many.
    pub fn remove_expired_devices(
        &mut self,
        _may: &Granted<'tx, Collect>,
        until: Micros,
        limit: u32,
    ) -> Result<u64, CatalogError> {
        self.execute(&REMOVE_EXPIRED_DEVICES, &[until.0.into(), Value::Int(limit.into())])
    }
}
