//! What the labels of a pushed image say of its package, and what people make of it afterwards. The rules about
//! roles on packages are asked here too, by the operator's commands, since pulls show what they do.

use crate::content::{Image, Manifest, image, index};
use crate::house::{House, Person};
use packhouse_service::CreateRepositories;
use packhouse_service::operator::{Answer, Command, PeopleCommand};
use serde_json::{Value, json};

const SOURCE: &str = "org.opencontainers.image.source";
const DESCRIPTION: &str = "org.opencontainers.image.description";
const LICENSES: &str = "org.opencontainers.image.licenses";
const FORGE: &str = "https://github.com/acme/app";

/// An image with labels in its config.
fn labelled(labels: &Value) -> Image {
    let config = json!({ "architecture": "amd64", "os": "linux", "config": { "Labels": labels } });
    image().config(config.to_string())
}

fn from(source: &str) -> Manifest {
    labelled(&json!({ SOURCE: source })).manifest()
}

impl House {
    async fn people(&self, command: PeopleCommand) -> Answer {
        self.operate(Command::People(command)).await
    }

    /// What the operator is told when a command is refused.
    async fn refusal(&self, command: Command) -> String {
        match self.service.operate(command.clone()).await {
            Answer::Refused { message } => message,
            answer => panic!("{command:?} was done: {answer:?}"),
        }
    }

    async fn repository(&self, path: &str) {
        let (path, visibility) = (path.to_owned(), "private".to_owned());
        self.people(PeopleCommand::RepoCreate { path, visibility, description: None }).await;
    }

    async fn works_on(&self, path: &str, user: &str, role: &str) {
        let (path, user, role) = (path.to_owned(), user.to_owned(), Some(role.to_owned()));
        self.people(PeopleCommand::RepoRole { path, user, role }).await;
    }

    /// The repository that a package is linked to, and whether it inherits.
    async fn link(&self, path: &str) -> Option<(String, bool)> {
        let answer = self.operate(Command::PackageAccess { path: path.to_owned() }).await;
        let Answer::PackageAccess(access) = answer else { panic!("{answer:?}") };
        access.repository.map(|repository| (repository, access.inherits))
    }

    /// What is kept of a package: its description and its licenses.
    fn about(&self, path: &str) -> (Option<String>, Option<String>) {
        let query = "SELECT description, licenses FROM packages WHERE path = ?1 AND deleted_at IS NULL";
        self.outside.query_row(query, [path], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    }

    fn repositories(&self) -> i64 {
        self.outside.query_row("SELECT count(*) FROM repositories", [], |row| row.get(0)).unwrap()
    }
}

/// An organization of mona's with hubot as a member.
async fn acme() -> (House, Person, Person) {
    acme_with(CreateRepositories::Own).await
}

async fn acme_with(rule: CreateRepositories) -> (House, Person, Person) {
    let house = House::with(|plan| plan.settings.create_repositories = rule).await;
    let (mona, hubot) = (house.user("mona").await, house.user("hubot").await);
    house.organization("acme", "mona").await;
    house.member("acme", "hubot").await;
    (house, mona, hubot)
}

fn linked(repository: &str, inherits: bool) -> Option<(String, bool)> {
    Some((repository.to_owned(), inherits))
}

#[tokio::test]
async fn the_first_push_links_and_inherits_and_makes_the_record() {
    let (house, mona, hubot) = acme().await;
    let stranger = house.user("stranger").await;
    let said = labelled(&json!({ SOURCE: FORGE, DESCRIPTION: "Anvils.", LICENSES: "MIT" })).manifest();
    mona.push("acme/app", "1", &said).await;
    assert_eq!(house.link("acme/app").await, linked("acme/app", true));
    assert_eq!(house.about("acme/app"), (Some("Anvils.".to_owned()), Some("MIT".to_owned())));
    // Members read the organization's repositories, so they read the private package; nobody else does.
    assert!(hubot.has("acme/app", "1").await);
    assert!(!stranger.has("acme/app", "1").await);
    house.works_on("acme/app", "stranger", "read").await;
    assert!(stranger.has("acme/app", "1").await, "who works on the repository");
}

#[tokio::test]
async fn this_server_s_own_repositories_count_and_other_forges_do_not() {
    let (house, mona, _) = acme().await;
    let own = format!("{}/acme/own", crate::house::URL);
    mona.push("acme/own", "1", &from(&own)).await;
    assert_eq!(house.link("acme/own").await, linked("acme/own", true));
    for (package, source) in [
        ("acme/a", "https://gitlab.com/acme/app"),
        ("acme/b", "https://github.com/mona/app"),
        ("acme/c", "no address"),
        ("acme/d", "https://github.com/acme/app/tree/main"),
    ] {
        mona.push(package, "1", &from(source)).await;
        assert_eq!(house.link(package).await, None, "{source}");
    }
    assert_eq!(house.repositories(), 1);
}

#[tokio::test]
async fn who_may_not_administer_the_repository_pushes_and_links_nothing() {
    let (house, mona, hubot) = acme().await;
    hubot.push("acme/new", "1", &from("https://github.com/acme/new")).await;
    assert_eq!(house.link("acme/new").await, None, "a member owns nothing here");
    assert_eq!(house.repositories(), 0);
    house.repository("acme/app").await;
    house.works_on("acme/app", "hubot", "maintain").await;
    hubot.push("acme/app", "1", &from(FORGE)).await;
    assert_eq!(house.link("acme/app").await, None);
    house.works_on("acme/app", "hubot", "admin").await;
    hubot.push("acme/app", "2", &from(FORGE)).await;
    assert_eq!(
        house.link("acme/app").await,
        linked("acme/app", false),
        "later than the first push: no inheritance"
    );
    drop(mona);
}

#[tokio::test]
async fn who_only_writes_cannot_link_a_package_to_a_repository_of_their_own_making() {
    let (house, mona, hubot) = acme_with(CreateRepositories::Members).await;
    mona.push("acme/app", "1", &image().manifest()).await;
    house.grant("acme/app", "hubot", "write").await;
    hubot.push("acme/app", "2", &from("https://github.com/acme/mine")).await;
    assert_eq!(house.link("acme/app").await, None);
    assert_eq!(house.repositories(), 0, "nor is the record made");
    hubot.push("acme/other", "1", &from("https://github.com/acme/mine")).await;
    assert_eq!(house.link("acme/other").await, linked("acme/mine", true), "their own package they may link");
}

#[tokio::test]
async fn never_means_that_no_label_makes_a_record() {
    let (house, mona, _) = acme_with(CreateRepositories::Never).await;
    mona.push("acme/app", "1", &from(FORGE)).await;
    assert_eq!((house.link("acme/app").await, house.repositories()), (None, 0));
    house.repository("acme/app").await;
    mona.push("acme/app", "2", &from(FORGE)).await;
    assert_eq!(house.link("acme/app").await, linked("acme/app", false));
}

#[tokio::test]
async fn what_a_person_unlinked_stays_so_until_the_label_changes() {
    let (house, mona, _) = acme().await;
    mona.push("acme/app", "1", &from(FORGE)).await;
    house.people(PeopleCommand::PackageUnlink { path: "acme/app".to_owned() }).await;
    mona.push("acme/app", "2", &from(FORGE)).await;
    assert_eq!(house.link("acme/app").await, None);
    mona.push("acme/app", "3", &from("https://github.com/acme/other.git")).await;
    assert_eq!(house.link("acme/app").await, linked("acme/other", false));
}

#[tokio::test]
async fn an_index_speaks_by_its_annotations_and_a_signature_not_at_all() {
    let (house, mona, _) = acme().await;
    let child = image().layer("x").manifest();
    let mut json: Value = serde_json::from_slice(&index(&[&child]).bytes).unwrap();
    json["annotations"] = json!({ SOURCE: FORGE, DESCRIPTION: "For two." });
    let both = Manifest::of(crate::content::OCI_INDEX, &json);
    mona.push("acme/app", &child.digest(), &child).await;
    mona.push("acme/app", "1", &both).await;
    assert_eq!(house.link("acme/app").await, linked("acme/app", false), "the child was the first push");
    assert_eq!(house.about("acme/app").0.as_deref(), Some("For two."));
    let signature = labelled(&json!({ DESCRIPTION: "A signature." })).subject(&child).manifest();
    mona.push("acme/app", "sha256-1.sig", &signature).await;
    let by_digest = labelled(&json!({ DESCRIPTION: "No newest one." })).manifest();
    mona.push("acme/app", &by_digest.digest(), &by_digest).await;
    assert_eq!(house.about("acme/app").0.as_deref(), Some("For two."));
}

#[tokio::test]
async fn labels_win_over_annotations_and_broken_ones_are_passed_over() {
    let (house, mona, _) = acme().await;
    let both =
        labelled(&json!({ DESCRIPTION: "label" })).with("annotations", json!({ DESCRIPTION: "annotation" }));
    mona.push("acme/a", "1", &both.manifest()).await;
    assert_eq!(house.about("acme/a").0.as_deref(), Some("label"));
    let broken = image().config("{").with("annotations", json!({ DESCRIPTION: "annotation" }));
    mona.push("acme/b", "1", &broken.manifest()).await;
    assert_eq!(house.about("acme/b").0.as_deref(), Some("annotation"));
    let large = json!({ DESCRIPTION: "x".repeat(5 << 20) });
    mona.push("acme/c", "1", &labelled(&large).manifest()).await;
    assert_eq!(house.about("acme/c").0, None, "a config of more than 4 MiB is not read");
}

#[tokio::test]
async fn the_policy_of_the_organization_switches_inheritance_off() {
    let (house, mona, hubot) = acme().await;
    house
        .people(PeopleCommand::OrgPolicy {
            org: "acme".to_owned(),
            packages: None,
            default: None,
            inherit: Some(false),
            base_role: None,
            members_create_repositories: None,
        })
        .await;
    mona.push("acme/app", "1", &from(FORGE)).await;
    assert_eq!(house.link("acme/app").await, linked("acme/app", false));
    assert!(!hubot.has("acme/app", "1").await);
    house.people(PeopleCommand::PackageInherit { path: "acme/app".to_owned(), inherit: true }).await;
    assert!(hubot.has("acme/app", "1").await);
}

#[tokio::test]
async fn roles_are_given_where_the_rules_let_them() {
    let (house, mona, hubot) = acme().await;
    let stranger = house.user("stranger").await;
    mona.push("acme/app", "1", &image().manifest()).await;
    let grant = |to: &str| Command::PackageGrant {
        path: "acme/app".to_owned(),
        user: to.to_owned(),
        role: "read".to_owned(),
    };
    assert!(house.refusal(grant("stranger")).await.contains("not a member of the organization"));
    assert!(house.refusal(grant("team:dev")).await.contains("there is no team `dev`"));
    assert!(house.refusal(grant("acme")).await.contains("there is no user `acme`"));
    house.make("acme/app", "public").await;
    house.operate(grant("stranger")).await;
    house.make("acme/app", "private").await;
    assert!(stranger.has("acme/app", "1").await);

    // A team's role reaches the teams below it.
    let team = |name: &str, parent: Option<&str>| PeopleCommand::TeamCreate {
        org: "acme".to_owned(),
        name: name.to_owned(),
        description: None,
        secret: false,
        parent: parent.map(str::to_owned),
    };
    house.people(team("Web People", None)).await;
    house.people(team("Frontend", Some("web-people"))).await;
    let (org, user) = ("acme".to_owned(), "hubot".to_owned());
    house
        .people(PeopleCommand::TeamAddMember { org, team: "frontend".to_owned(), user, maintainer: false })
        .await;
    assert!(!hubot.has("acme/app", "1").await);
    house.operate(grant("team:web-people")).await;
    assert!(hubot.has("acme/app", "1").await);
    let explain = |user: &str, action: &str| PeopleCommand::AccessExplain {
        user: user.to_owned(),
        path: "acme/app".to_owned(),
        action: action.to_owned(),
    };
    let Answer::Explained(why) = house.people(explain("hubot", "pull")).await else {
        panic!("no explanation")
    };
    assert!(why.allowed);
    assert_eq!(why.decision, "hubot may pull acme/app: the team acme/web-people has the role read");
    let Answer::Explained(why) = house.people(explain("hubot", "push")).await else {
        panic!("no explanation")
    };
    assert!(!why.allowed);
    assert_eq!(why.decision, "hubot may not push acme/app: the highest role is read, and it takes write");

    // While a package inherits, its own list does not change.
    house.repository("acme/app").await;
    let link = |inherit| PeopleCommand::PackageLink {
        path: "acme/app".to_owned(),
        repository: "app".to_owned(),
        inherit,
    };
    let inherit = PeopleCommand::PackageInherit { path: "acme/app".to_owned(), inherit: true };
    let message = house.refusal(Command::People(inherit.clone())).await;
    assert!(message.contains("not linked to a repository"), "{message}");
    house.people(link(false)).await;
    house.people(inherit).await;
    assert!(!stranger.has("acme/app", "1").await, "the list was dropped");
    let message = house.refusal(grant("hubot")).await;
    assert!(message.contains("switch inheritance off first"), "{message}");
    let Answer::Explained(why) = house.people(explain("hubot", "pull")).await else {
        panic!("no explanation")
    };
    assert!(
        why.decision.contains("inherits from the repository acme/app, where the role is read"),
        "{why:?}"
    );
    let Answer::Explained(why) = house.people(explain("stranger", "pull")).await else {
        panic!("no explanation")
    };
    assert!(!why.allowed && why.decision.contains("to them it does not exist"), "{why:?}");
}

#[tokio::test]
async fn teams_stand_on_each_other_without_circles_secrets_or_end() {
    let (house, _, _) = acme().await;
    let team = |name: &str, parent: Option<&str>, secret| {
        Command::People(PeopleCommand::TeamCreate {
            org: "acme".to_owned(),
            name: name.to_owned(),
            description: None,
            secret,
            parent: parent.map(str::to_owned),
        })
    };
    house.operate(team("t1", None, false)).await;
    for level in 2..=10 {
        let (name, parent) = (format!("t{level}"), format!("t{}", level - 1));
        house.operate(team(&name, Some(&parent), false)).await;
    }
    let message = house.refusal(team("t11", Some("t10"), false)).await;
    assert!(message.contains("at most 10 on top of each other"), "{message}");
    let message = house.refusal(team("hidden", Some("t1"), true)).await;
    assert!(message.contains("a secret team has no team above or below it"), "{message}");
    let message = house.refusal(team(" T1! ", None, false)).await;
    assert!(message.contains("`t1` is taken"), "{message}");
}

#[tokio::test]
async fn a_default_that_members_may_not_have_is_refused() {
    let (house, _, hubot) = acme().await;
    let policy = |packages: &[&str], default: Option<&str>| {
        Command::People(PeopleCommand::OrgPolicy {
            org: "acme".to_owned(),
            packages: Some(packages.iter().map(|&word| word.to_owned()).collect()),
            default: default.map(str::to_owned),
            inherit: None,
            base_role: None,
            members_create_repositories: None,
        })
    };
    let message = house.refusal(policy(&["internal"], None)).await;
    assert!(message.contains("a new package would be private, which members may not have"), "{message}");
    house.operate(policy(&["internal"], Some("internal"))).await;
    hubot.push("acme/app", "1", &image().manifest()).await;
    assert_eq!(house.service_visibility("acme/app"), 1, "internal");
    house.operate(policy(&[], None)).await;
    let refused = hubot.post("/v2/acme/new/blobs/uploads/").await;
    assert_eq!(refused.says(), "403 DENIED", "members may create nothing");
}

impl House {
    fn service_visibility(&self, path: &str) -> i64 {
        let query = "SELECT visibility FROM packages WHERE path = ?1";
        self.outside.query_row(query, [path], |row| row.get(0)).unwrap()
    }
}
