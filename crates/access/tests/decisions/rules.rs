//! Rules about tags: who is held, by example.

use packhouse_access::{
    AccountId, Caller, Hold, Limit, PackageFacts, PackageId, Push, Role, RuleId, Scopes, Standing, TagAt,
    TagChange, TagHeld, TagRule, TagRules, TokenId, VersionId, Visibility, Who, decide, decide_tag_move,
    with_brand,
};
use std::sync::Arc;

const TOOL: PackageId = PackageId(7);
const ACME: AccountId = AccountId(2);

fn rule(hold: Hold, pattern: &str) -> TagRule {
    TagRule {
        id: RuleId(1),
        package: None,
        of: "acme".to_owned(),
        hold,
        pattern: pattern.parse().unwrap(),
        except: Vec::new(),
        lets_package_go: false,
    }
}

/// What comes of moving `v1` from version 1 to another, for somebody with a role and, perhaps, a token that was given
/// less.
fn moved(
    rules: Vec<TagRule>,
    role: Role,
    given: Option<Role>,
    from: Option<i64>,
    to: i64,
) -> Result<(), TagHeld> {
    with_brand(|brand| {
        let who = Who::Account { id: AccountId(1), site_admin: false };
        let mut caller = Caller::new(&brand, who, Some(TokenId(5)), Scopes::ALL, None);
        if let Some(role) = given {
            let chosen = packhouse_access::Chosen::Package(TOOL);
            caller = caller.limited(&brand, vec![Limit { chosen, role }]);
        }
        let package = Some((TOOL, Visibility::Private));
        let facts = PackageFacts::new(
            &brand,
            &caller,
            "acme/tool",
            Some(ACME),
            Standing::Stranger,
            package,
            Some(role),
        );
        let may = decide::<Push>(&facts).unwrap();
        let rules = TagRules::new(&brand, rules.into_iter().map(Arc::new).collect());
        let at = TagAt::new(&brand, TOOL, "v1", from.map(|id| (9, VersionId(id))));
        decide_tag_move(&may, &rules, at, VersionId(to)).map(drop)
    })
}

#[test]
fn a_token_that_was_given_less_has_no_more_say_over_tags() {
    let admins = || vec![rule(Hold::Protected(Some(Role::Admin)), "v*")];
    assert!(moved(admins(), Role::Admin, None, Some(1), 2).is_ok());
    assert!(moved(admins(), Role::Admin, Some(Role::Admin), Some(1), 2).is_ok());
    assert!(moved(admins(), Role::Admin, Some(Role::Write), Some(1), 2).is_err());
    assert!(moved(admins(), Role::Write, Some(Role::Admin), Some(1), 2).is_err());
}

#[test]
fn all_rules_must_let_a_tag_go() {
    let rules = |package| {
        let weak = rule(Hold::Protected(Some(Role::Write)), "*");
        vec![weak, TagRule { id: RuleId(2), package, ..rule(Hold::Immutable, "v1") }]
    };
    let held = moved(rules(None), Role::Admin, None, Some(1), 2).unwrap_err();
    assert_eq!((held.rule, held.change, held.tag.as_str()), (RuleId(2), TagChange::Move, "v1"));
    // To where it points already, and where it was not.
    assert!(moved(rules(None), Role::Admin, None, Some(1), 1).is_ok());
    assert!(moved(rules(None), Role::Admin, None, None, 2).is_ok());
    // One of another package is not about this one.
    assert!(moved(rules(Some(PackageId(8))), Role::Admin, None, Some(1), 2).is_ok());
    assert!(moved(rules(Some(TOOL)), Role::Admin, None, Some(1), 2).is_err());
}

#[test]
fn the_sentence_says_what_to_do() {
    let of = |hold, change| {
        let (tag, of, pattern) = ("v1".to_owned(), "acme".to_owned(), "v*".to_owned());
        TagHeld { tag, rule: RuleId(3), of, pattern, hold, change }.to_string()
    };
    assert_eq!(
        of(Hold::Immutable, TagChange::Move),
        "the tag `v1` is immutable (rule 3 of `acme`: `v*`); push under another tag, or have the rule changed by who \
         administers `acme`"
    );
    assert_eq!(
        of(Hold::Protected(Some(Role::Admin)), TagChange::Delete),
        "the tag `v1` is protected: it takes the role admin to change it (rule 3 of `acme`: `v*`); have the rule \
         changed by who administers `acme`"
    );
    assert_eq!(
        of(Hold::Protected(None), TagChange::Package),
        "the tag `v1` is protected from everybody (rule 3 of `acme`: `v*`); have the rule changed by who \
         administers `acme`"
    );
}
