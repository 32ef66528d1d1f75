//! Robots: accounts that sign in for an organization and own nothing.
//!
//! A robot's name is `organization+name`, which no user, organization or path of a package can have. One that was
//! deleted keeps its row, since what it did names it, under a name that nobody can ask for.

use crate::accounts::ROBOT;
use crate::sql::{Row, statement};
use crate::{CatalogError, Micros, ReadTx, Window, WriteTx};
use packhouse_access::{AccountId, Govern, Granted, Role};

/// A robot.
#[derive(Clone, Debug)]
pub struct Robot {
    /// Its identifier.
    pub id: AccountId,
    /// `organization+name`, in lower case.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// What it may on all packages of the organization.
    pub role: Option<Role>,
    /// When it was made.
    pub created_at: Micros,
    /// When it was changed last.
    pub updated_at: Micros,
}

statement!(
    ROBOTS,
    "SELECT id, name, description, role, created_at, updated_at FROM accounts
     WHERE organization_id = $4 AND name > $1 ORDER BY name LIMIT $2 OFFSET $3"
);
statement!(
    ROBOT_BY_NAME,
    "SELECT id, name, description, role, created_at, updated_at FROM accounts
     WHERE organization_id = $1 AND name = $2"
);
statement!(
    INSERT_ROBOT,
    "INSERT INTO accounts
       (name, login, kind, site_admin, created_at, updated_at, organization_id, role, description)
     VALUES ($1, $1, $2, 0, $3, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING id"
);
statement!(
    SET_ROBOT,
    "UPDATE accounts SET role = $3, description = $4, updated_at = $5 WHERE id = $1 AND organization_id = $2"
);
statement!(
    END_ROBOT,
    "UPDATE accounts SET organization_id = NULL, role = NULL, name = $3, suspended_at = $4, updated_at = $4
     WHERE id = $1 AND organization_id = $2"
);
statement!(REMOVE_GRANTS_TO, "DELETE FROM package_grants WHERE account_id = $1");
statement!(IS_ROBOT_OF, "SELECT id FROM accounts WHERE id = $1 AND organization_id = $2");
statement!(LOCK_ROBOT, "SELECT id FROM accounts WHERE id = $1 AND organization_id = $2 {lock}");

fn robot(row: &Row<'_>) -> Result<Robot, CatalogError> {
    Ok(Robot {
        id: AccountId(row.int(0)?),
        name: row.text(1)?,
        description: row.text_or_null(2)?,
        role: row.int_or_null(3)?.and_then(Role::from_number),
        created_at: Micros(row.int(4)?),
        updated_at: Micros(row.int(5)?),
    })
}

impl<'tx> ReadTx<'_, 'tx> {
    /// The organization's robots by name.
    pub fn robots(
        &mut self,
        may: &Granted<'tx, Govern>,
        window: &Window,
    ) -> Result<Vec<Robot>, CatalogError> {
        let [after, limit, skip] = window.values();
        self.rows(&ROBOTS, &[after, limit, skip, may.namespace().0.into()], robot)
    }

    /// The organization's robot of that whole name.
    pub fn robot(&mut self, may: &Granted<'tx, Govern>, name: &str) -> Result<Option<Robot>, CatalogError> {
        self.row(&ROBOT_BY_NAME, &[may.namespace().0.into(), name.into()], robot)
    }

    pub(crate) fn is_robot_of(
        &mut self,
        may: &Granted<'tx, Govern>,
        robot: AccountId,
    ) -> Result<bool, CatalogError> {
        Ok(self.row(&IS_ROBOT_OF, &[robot.0.into(), may.namespace().0.into()], |_| Ok(()))?.is_some())
    }
}

impl<'tx> WriteTx<'_, 'tx> {
    /// Makes a robot of that whole name. `None`: the name is taken.
    pub fn create_robot(
        &mut self,
        may: &Granted<'tx, Govern>,
        name: &str,
        role: Option<Role>,
        description: Option<&str>,
        now: Micros,
    ) -> Result<Option<AccountId>, CatalogError> {
        let values = [
            name.into(),
            ROBOT.into(),
            now.0.into(),
            may.namespace().0.into(),
            role.map(Role::number).into(),
            description.into(),
        ];
        Ok(self.inserted(&INSERT_ROBOT, &values)?.map(AccountId))
    }

    /// Changes a robot of the organization; whether it is one.
    pub fn set_robot(
        &mut self,
        may: &Granted<'tx, Govern>,
        robot: AccountId,
        role: Option<Role>,
        description: Option<&str>,
        now: Micros,
    ) -> Result<bool, CatalogError> {
        let values = [
            robot.0.into(),
            may.namespace().0.into(),
            role.map(Role::number).into(),
            description.into(),
            now.0.into(),
        ];
        Ok(self.execute(&SET_ROBOT, &values)? > 0)
    }

    /// Deletes a robot of the organization, with its tokens and its roles; whether it was one.
    pub fn delete_robot(
        &mut self,
        may: &Granted<'tx, Govern>,
        robot: AccountId,
        now: Micros,
    ) -> Result<bool, CatalogError> {
        if !self.lock_robot(may, robot)? {
            return Ok(false);
        }
        // No name begins with `+`.
        let name = format!("+{robot}");
        let values = [robot.0.into(), may.namespace().0.into(), name.as_str().into(), now.0.into()];
        self.execute(&END_ROBOT, &values)?;
        self.execute(&REMOVE_GRANTS_TO, &[robot.0.into()])?;
        self.end_all_tokens(robot, now)?;
        Ok(true)
    }

    pub(crate) fn lock_robot(
        &mut self,
        may: &Granted<'tx, Govern>,
        robot: AccountId,
    ) -> Result<bool, CatalogError> {
        Ok(self.row(&LOCK_ROBOT, &[robot.0.into(), may.namespace().0.into()], |_| Ok(()))?.is_some())
    }
}
