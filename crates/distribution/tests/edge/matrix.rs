//! The matrix of `matrix.txt`: every route × every kind of caller × every kind of package. The table is kept by
//! hand; here are only the callers, and the check that no route escapes it.

use crate::content::{Manifest, image, index, sha256};
use crate::doors::{Target, has_package, knock, title, ways};
use crate::house::{Caller, House, Person};
use packhouse_distribution::{ROUTES, Route};
use std::collections::{BTreeMap, BTreeSet};

const TABLE: &str = include_str!("matrix.txt");

/// A part of the table: what is asked for, and the answers by door and by caller.
struct Section {
    title: String,
    callers: Vec<String>,
    lines: Vec<(String, Vec<String>)>,
}

fn sections() -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for line in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        if let Some(title) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            sections.push(Section { title: title.to_owned(), callers: Vec::new(), lines: Vec::new() });
            continue;
        }
        let section = sections.last_mut().expect("a title comes first");
        if line.starts_with(' ') {
            section.callers = words;
            continue;
        }
        let doors = words.len().checked_sub(section.callers.len()).expect("a cell for each caller");
        section.lines.push((words[..doors].join(" "), words[doors..].to_vec()));
    }
    sections
}

/// The code that the table means by a status.
fn meant(status: &str) -> String {
    let code = match status {
        "400" => "UNSUPPORTED",
        "401" => "UNAUTHORIZED",
        "403" => "DENIED",
        "404" => "NAME_UNKNOWN",
        fine => return fine.to_owned(),
    };
    format!("{status} {code}")
}

#[test]
fn every_route_stands_in_every_section_of_the_matrix_and_nothing_else_does() {
    let sections = sections();
    assert_eq!(sections.len(), 10);
    for section in &sections {
        let about_packages = !section.title.starts_with("anywhere");
        let routes = ROUTES.iter().filter(|route| has_package(route) == about_packages);
        let wanted: BTreeSet<String> =
            routes.flat_map(|route| ways(route.endpoint).iter().map(|way| title(route, way))).collect();
        let kept: BTreeSet<String> = section.lines.iter().map(|(door, _)| door.clone()).collect();
        assert_eq!(kept, wanted, "[{}]", section.title);
        assert_eq!(kept.len(), section.lines.len(), "[{}] has a line twice", section.title);
        assert_eq!(section.callers.len(), 8, "[{}]", section.title);
    }
}

/// The people of the table, and the packages they are at.
struct Town {
    house: House,
    people: BTreeMap<&'static str, Person>,
    packages: u32,
}

const SOURCE: &str = "acme/source";

impl Town {
    async fn new() -> Self {
        let house = House::new().await;
        let mut people = BTreeMap::new();
        for name in ["owner", "suspended", "stranger", "reader", "writer", "member"] {
            people.insert(name, house.user(name).await);
        }
        house.organization("acme", "owner").await;
        house.member("acme", "member").await;
        house.operate(owner_too("suspended")).await;
        people.insert("site-admin", house.admin.clone());
        people.insert("no-scopes", house.token("owner", &[]).await);
        people.insert("read-only", house.token("owner", &["read:packages"]).await);
        people.insert("no-delete", house.token("owner", &["write:packages"]).await);
        people.insert("revoked", house.token("owner", &crate::house::ALL_SCOPES).await);
        people.insert("expired", house.token_until("owner", &crate::house::ALL_SCOPES, Some(60)).await);
        people["owner"].push(SOURCE, "1.0", &image().layer("shared").manifest()).await;
        house.make(SOURCE, "public").await;
        let worked = people["suspended"].get("/v2/_catalog").await;
        assert_eq!(worked.list("repositories"), [SOURCE], "an owner, before the suspension");
        let before = house.commits();
        house.suspend("suspended").await;
        assert_ne!(house.commits(), before, "a commit is seen from outside");
        house.revoke(&people["revoked"]).await;
        house.wait(60);
        Town { house, people, packages: 0 }
    }

    fn owner(&self) -> &Person {
        &self.people["owner"]
    }

    /// A package of its own for each caller, with something in it; or a name that nobody has used.
    async fn package(&mut self, kind: &str, manifest: &Manifest) -> String {
        self.packages += 1;
        let package = format!("acme/p{}", self.packages);
        if kind == "absent package" {
            return package;
        }
        self.owner().push(&package, "1.0", manifest).await;
        // Who is no member gets a role while the package is public, and keeps it when it is closed.
        self.house.make(&package, "public").await;
        self.house.grant(&package, "reader", "read").await;
        self.house.grant(&package, "writer", "write").await;
        if let Some(visibility) = kind.strip_suffix(" package") {
            self.house.make(&package, visibility).await;
        }
        package
    }

    async fn caller(&self, name: &str, package: &str) -> Caller {
        let all = format!("repository:{package}:pull,push,delete");
        match name {
            "anonymous" => self.house.anonymous(),
            "anonymous+bearer" => self.house.anonymous().bearer(&[&all]).await,
            "bearer" => self.owner().bearer(&[&all, "registry:catalog:*"]).await,
            "narrow-bearer" => self.owner().bearer(&["repository:acme/other:pull,push,delete"]).await,
            name => self.people[name].caller.clone(),
        }
    }

    /// An upload session, if the route is about one: the caller's own where they may have one, else the owner's.
    async fn session(&self, route: &Route, kind: &str, caller: &str, package: &str) -> String {
        if !route.pattern.as_str().contains("<id>") {
            return String::new();
        }
        let package = if kind == "absent package" { SOURCE } else { package };
        let starts = match caller {
            "writer" if package != SOURCE => &self.people["writer"],
            "site-admin" => &self.people["site-admin"],
            _ => self.owner(),
        };
        let location = starts.begin(package).await;
        location.rsplit('/').next().unwrap().to_owned()
    }
}

fn owner_too(user: &str) -> packhouse_service::operator::Command {
    let (org, user) = ("acme".to_owned(), user.to_owned());
    packhouse_service::operator::Command::OrgAddMember { org, user, owner: true }
}

#[tokio::test]
async fn every_caller_gets_the_answer_of_the_matrix_at_every_door() {
    let mut town = Town::new().await;
    let (image, empty) = (image().layer("a layer").manifest(), index(&[]));
    let layer = sha256("a layer");
    let shared = sha256("shared");
    let mut wrong: Vec<String> = Vec::new();
    let mut tried = 0;
    for section in sections() {
        let (kind, _) = section.title.split_once(": ").unwrap();
        // What is absent has no blobs, so only what needs none can be put there.
        let manifest = if kind == "absent package" { &empty } else { &image };
        for (column, name) in section.callers.iter().enumerate() {
            let mut package = town.package(kind, manifest).await;
            for (door, cells) in &section.lines {
                if kind == "absent package" {
                    package = town.package(kind, manifest).await;
                }
                let (route, way) = find(door);
                let caller = town.caller(name, &package).await;
                let session = town.session(route, kind, name, &package).await;
                let target = Target {
                    package: &package,
                    tag: "1.0",
                    manifest,
                    blob: &layer,
                    session: &session,
                    source: (SOURCE, &shared),
                };
                let before = town.house.commits();
                let answer = knock(&caller, route, way, &target).await;
                if answer.status >= 400 && town.house.commits() != before {
                    wrong.push(format!("[{kind}] {door}, {name}: refused, and yet something was stored"));
                }
                assert_eq!(answer.route, route.name.0, "{door}");
                let wanted = meant(&cells[column]);
                // An answer to HEAD has no body to say its code in.
                let wanted = if route.method == "HEAD" { &wanted[..3] } else { &wanted };
                if answer.says() != wanted {
                    wrong.push(format!("[{kind}] {door}, {name}: {} in place of {wanted}", answer.says()));
                }
                tried += 1;
                if answer.status < 300 && route.method == "DELETE" {
                    town.owner().push(&package, "1.0", manifest).await;
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {tried} differ from the table:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(tried, 16 * (6 + 4 * 23), "all cells of the table");
}

fn find(door: &str) -> (&'static Route, &'static str) {
    let mut all = ROUTES.iter().flat_map(|route| ways(route.endpoint).iter().map(move |way| (route, *way)));
    all.find(|(route, way)| title(route, way) == door).unwrap_or_else(|| panic!("`{door}` is no route"))
}
