// The list of actions is closed: one that asks for less cannot be added from outside.
use packhouse_access::*;
use packhouse_catalog::*;
use packhouse_oci::*;

enum Anything {}

impl Action for Anything {
    const NAME: &'static str = "anything";
    const ROLE: Role = Role::Read;
    const SCOPES: Scopes = Scopes::NONE;
    const BEARER: Actions = Actions::NONE;
}

fn main() {}
