//! What accounts use and may use: storage now, transfer by the month, and their plans.

use crate::sql::{Value, statement};
use crate::storage::{Allowed, STORED, bytes, limits};
use crate::{CatalogError, ReadTx, WriteTx};
use packhouse_access::{AccountId, Bytes, Collect, Granted, Limits, Operate, OverQuota, Pull, SeeUsage};

/// Bytes of blobs that were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Transfer {
    /// From whose packages.
    pub owner: AccountId,
    /// When: the year times 100 and the month, in UTC.
    pub month: i64,
    /// Whether from public packages.
    pub public: bool,
    /// How many.
    pub bytes: u64,
}

/// Limits with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Its name.
    pub name: String,
    /// What it allows.
    pub limits: Limits,
    /// Whether the configuration has it; if not, its last limits hold for the accounts that have it.
    pub configured: bool,
}

/// What an account uses, and the plan that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountUsage {
    /// Its name as it was written.
    pub login: String,
    /// The name of its plan.
    pub plan: String,
    /// What that allows.
    pub limits: Limits,
    /// What it stores.
    pub stored: Bytes,
    /// What was sent in the month.
    pub sent: Bytes,
}

/// What an account may send, and has sent so far.
#[derive(Clone, Debug)]
pub struct TransferRoom {
    allowed: Allowed,
    sent: Bytes,
}

impl TransferRoom {
    /// Whether so many bytes more may be sent, beside what was counted and is not written yet.
    pub fn admit(&self, more: Bytes, unwritten: Bytes) -> Result<(), OverQuota> {
        let sent = Bytes {
            all: self.sent.all.saturating_add(unwritten.all),
            private: self.sent.private.saturating_add(unwritten.private),
        };
        let Allowed { account, plan, limits } = &self.allowed;
        let admitted = limits.send(sent, more);
        admitted.map_err(|over| OverQuota { account: account.clone(), plan: plan.clone(), over })
    }
}

statement!(
    TRANSFERRED,
    "SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT),
       CAST(COALESCE(SUM(CASE WHEN public = 0 THEN bytes ELSE 0 END), 0) AS BIGINT) FROM transfers
     WHERE owner_id = $1 AND month = $2"
);
statement!(
    USAGES,
    "SELECT a.login, p.name, p.storage, p.private_storage, p.transfer, p.private_transfer,
       COALESCE(s.bytes, 0), COALESCE(s.private_bytes, 0),
       CAST(COALESCE((SELECT SUM(bytes) FROM transfers t WHERE t.owner_id = a.id AND t.month = $3), 0) AS BIGINT),
       CAST(COALESCE((SELECT SUM(bytes) FROM transfers t
                      WHERE t.owner_id = a.id AND t.month = $3 AND t.public = 0), 0) AS BIGINT)
     FROM accounts a LEFT JOIN account_storage s ON s.owner_id = a.id
     LEFT JOIN plans p ON p.name = COALESCE(a.plan, (SELECT value FROM settings WHERE name = 'default_plan'))
     WHERE a.name >= $1 AND a.name <= $4 AND a.organization_id IS NULL ORDER BY a.name LIMIT $2"
);
statement!(
    PLANS,
    "SELECT name, storage, private_storage, transfer, private_transfer, configured FROM plans ORDER BY name LIMIT $1"
);
statement!(DROP_PLANS, "UPDATE plans SET configured = 0");
statement!(
    PUT_PLAN,
    "INSERT INTO plans (name, storage, private_storage, transfer, private_transfer, configured)
     VALUES ($1, $2, $3, $4, $5, 1)
     ON CONFLICT (name) DO UPDATE SET storage = excluded.storage, private_storage = excluded.private_storage,
       transfer = excluded.transfer, private_transfer = excluded.private_transfer, configured = 1"
);
statement!(
    FORGET_PLANS,
    "DELETE FROM plans WHERE configured = 0 AND NOT EXISTS (SELECT 1 FROM accounts a WHERE a.plan = plans.name)"
);
statement!(SET_PLAN, "UPDATE accounts SET plan = $2 WHERE id = $1");
statement!(
    ADD_TRANSFER,
    "INSERT INTO transfers (owner_id, month, public, bytes) VALUES ($1, $2, $3, $4)
     ON CONFLICT (owner_id, month, public) DO UPDATE SET bytes = transfers.bytes + excluded.bytes"
);

impl<'tx> ReadTx<'_, 'tx> {
    /// Bytes of all configs and layers in the account's packages, each counted once, and those of blobs that were sent
    /// from them in a month.
    pub fn usage(
        &mut self,
        may: &Granted<'tx, SeeUsage>,
        month: i64,
    ) -> Result<(Bytes, Bytes), CatalogError> {
        let stored = self.row(&STORED, &[may.namespace().0.into()], |row| bytes(row, 0))?;
        Ok((stored.unwrap_or_default(), self.sent(may.namespace(), month)?))
    }

    /// What the account's plan allows; nothing is limited before the first start that has plans.
    pub fn plan_limits(&mut self, may: &Granted<'tx, SeeUsage>) -> Result<Limits, CatalogError> {
        Ok(self.limits_of(may.namespace())?.map(|allowed| allowed.limits).unwrap_or_default())
    }

    /// What may be sent from the package's owner in a month; none without a limit.
    pub fn transfer_room(
        &mut self,
        may: &Granted<'tx, Pull>,
        month: i64,
    ) -> Result<Option<TransferRoom>, CatalogError> {
        let allowed = self.remembered_limits(may.owner())?;
        let Some(allowed) = allowed.filter(|allowed| allowed.limits.limits_transfer()) else {
            return Ok(None);
        };
        Ok(Some(TransferRoom { allowed, sent: self.sent(may.owner(), month)? }))
    }

    /// What users and organizations use, or one of them, by name, at most `limit`, with the transfer of a month.
    pub fn usages(
        &mut self,
        _may: &Granted<'tx, Operate>,
        month: i64,
        only: Option<&str>,
        limit: u32,
    ) -> Result<Vec<AccountUsage>, CatalogError> {
        // Behind all names, which are of letters, digits and `.`, `_`, `-`.
        let (first, last) = only.map_or(("", "~"), |name| (name, name));
        let values = [first.into(), Value::Int(limit.into()), month.into(), last.into()];
        self.rows(&USAGES, &values, |row| {
            Ok(AccountUsage {
                login: row.text(0)?,
                plan: row.text_or_null(1)?.unwrap_or_default(),
                limits: limits(row, 2)?,
                stored: bytes(row, 6)?,
                sent: bytes(row, 8)?,
            })
        })
    }

    /// All plans by name, at most `limit`.
    pub fn plans(&mut self, _may: &Granted<'tx, Operate>, limit: u32) -> Result<Vec<Plan>, CatalogError> {
        self.rows(&PLANS, &[Value::Int(limit.into())], |row| {
            Ok(Plan { name: row.text(0)?, limits: limits(row, 1)?, configured: row.int(5)? != 0 })
        })
    }

    fn sent(&mut self, owner: AccountId, month: i64) -> Result<Bytes, CatalogError> {
        let sent = self.row(&TRANSFERRED, &[owner.0.into(), month.into()], |row| bytes(row, 0))?;
        Ok(sent.unwrap_or_default())
    }
}

impl<'tx> WriteTx<'_, 'tx> {
    /// Takes over the plans of the configuration, `default` for who has none. What is configured no more stays for the
    /// accounts that have it.
    pub fn put_plans(
        &mut self,
        _may: &Granted<'tx, Operate>,
        plans: &[(String, Limits)],
        default: &str,
    ) -> Result<(), CatalogError> {
        let limit =
            |bytes: Option<u64>| Value::from(bytes.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)));
        self.execute(&DROP_PLANS, &[])?;
        for (name, limits) in plans {
            let values = [
                name.as_str().into(),
                limit(limits.storage),
                limit(limits.private_storage),
                limit(limits.transfer),
                limit(limits.private_transfer),
            ];
            self.execute(&PUT_PLAN, &values)?;
        }
        self.execute(&FORGET_PLANS, &[])?;
        self.put_setting("default_plan", default)
    }

    /// Gives an account a plan, or with none the default one.
    pub fn set_plan(
        &mut self,
        _may: &Granted<'tx, Operate>,
        account: AccountId,
        plan: Option<&str>,
    ) -> Result<(), CatalogError> {
        self.execute(&SET_PLAN, &[account.0.into(), plan.into()]).map(drop)
    }

    /// Adds to what was counted before. The caller bounds how many there are, and brings them in one order, so that
    /// nobody waits in a circle.
    pub fn count_transfers(
        &mut self,
        _may: &Granted<'tx, Collect>,
        transfers: &[Transfer],
    ) -> Result<(), CatalogError> {
        for transfer in transfers {
            let bytes = i64::try_from(transfer.bytes).unwrap_or(i64::MAX);
            let public = i64::from(transfer.public);
            let values = [transfer.owner.0.into(), transfer.month.into(), public.into(), bytes.into()];
            self.execute(&ADD_TRANSFER, &values)?;
        }
        Ok(())
    }
}
