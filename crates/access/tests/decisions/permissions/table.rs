//! Reads `permissions.txt`: which cases there are, and what the table expects of each. Knows no code under test, so
//! that whoever asks the same of a decision, of the catalog's facts or of a whole server can share it.

// Each of those who share it uses a part.
#![allow(dead_code, reason = "each test that shares this file uses another part of it")]

const TEXT: &str = include_str!("permissions.txt");

pub(crate) const PACKAGES: [&str; 4] = ["private", "internal", "public", "absent"];
pub(crate) const LINKS: [&str; 5] =
    ["none", "linked", "inherits", "inherits-base-none", "inherits-base-write"];
pub(crate) const ROLES: [&str; 4] = ["none", "read", "write", "admin"];

/// Everyone who may ask about a package of an organization.
pub(crate) const IN_ORGANIZATION: [&str; 36] = [
    "anonymous",
    "worker",
    "operator",
    "stranger",
    "owner",
    "member",
    "site-admin",
    "named-read",
    "named-write",
    "named-admin",
    "team-read",
    "team-write",
    "team-admin",
    "under-team-write",
    "above-team-write",
    "collaborator-read",
    "collaborator-triage",
    "collaborator-write",
    "collaborator-maintain",
    "collaborator-admin",
    "repository-team-read",
    "repository-team-triage",
    "repository-team-write",
    "repository-team-maintain",
    "repository-team-admin",
    "under-repository-team-admin",
    "above-repository-team-admin",
    "named-write-collaborator-read",
    "named-read-collaborator-admin",
    "named-read-team-write",
    "robot",
    "robot-read",
    "robot-write",
    "robot-admin",
    "robot-named-write",
    "other-robot",
];

/// Everyone who may ask about a user's package: there are no members, teams and robots.
pub(crate) const OF_USER: [&str; 17] = [
    "anonymous",
    "worker",
    "operator",
    "stranger",
    "owner",
    "site-admin",
    "named-read",
    "named-write",
    "named-admin",
    "collaborator-read",
    "collaborator-triage",
    "collaborator-write",
    "collaborator-maintain",
    "collaborator-admin",
    "named-write-collaborator-read",
    "named-read-collaborator-admin",
    "other-robot",
];

/// The tokens of an account.
pub(crate) const TOKENS: [&str; 29] = [
    "no",
    "repo",
    "read",
    "write",
    "delete",
    "read+delete",
    "write+delete",
    "all",
    "fine:nothing",
    "fine:other-owner",
    "fine:other-package",
    "fine:owner-read",
    "fine:owner-write",
    "fine:owner-admin",
    "fine:package-read",
    "fine:package-write",
    "fine:package-admin",
    "fine:owner-read+package-write",
    "fine:owner-admin+package-read",
    "all>none",
    "all>other",
    "all>pull",
    "all>push",
    "all>pull+push",
    "all>delete",
    "all>all",
    "read>all",
    "fine-package-write>pull",
    "fine-package-read>all",
];

/// Who has no account has these.
pub(crate) const NOBODYS: [&str; 4] = ["nobody", "nobody>none", "nobody>other", "nobody>pull"];

/// What an organization may let its members have.
pub(crate) const POLICIES: [&str; 8] = [
    "private+internal+public",
    "internal+public",
    "private+public",
    "private+internal",
    "private",
    "internal",
    "public",
    "nothing",
];

/// The same with what a new package is.
pub(crate) const DEFAULTS: [&str; 9] = [
    "private+internal+public/private",
    "private+internal+public/internal",
    "private+internal+public/public",
    "internal+public/private",
    "private+public/internal",
    "private+internal/public",
    "nothing/private",
    "internal/internal",
    "public/public",
];

/// The tokens that a caller can have.
pub(crate) fn tokens_of(caller: &str) -> &'static [&'static str] {
    match caller {
        "anonymous" => &NOBODYS,
        "operator" => &["operator"],
        "worker" => &["worker"],
        _ => &TOKENS,
    }
}

/// One part of the table.
pub(crate) struct Part {
    name: &'static str,
    keys: usize,
    /// What the columns of expectations are called.
    pub(crate) acts: Vec<&'static str>,
    rows: Vec<Row>,
}

struct Row {
    line: usize,
    keys: Vec<Vec<&'static str>>,
    expected: Vec<&'static str>,
}

/// A case with what is expected of it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Where the table says so.
    pub(crate) line: usize,
    pub(crate) keys: Vec<&'static str>,
    pub(crate) expected: Vec<&'static str>,
}

/// Reads a part.
pub(crate) fn part(name: &'static str) -> Part {
    let title = format!("== {name} ==");
    let mut lines = TEXT
        .lines()
        .enumerate()
        .skip_while(|(_, line)| *line != title)
        .skip(1)
        .take_while(|(_, line)| !line.starts_with("=="))
        .filter(|(_, line)| !line.starts_with('#') && !line.trim().is_empty());
    let (_, head) = lines.next().unwrap_or_else(|| panic!("no such part: {name}"));
    let (keys, acts) = head.split_once('|').unwrap_or_else(|| panic!("no `|` among the columns of {name}"));
    let keys = keys.split_whitespace().count();
    let acts: Vec<_> = acts.split_whitespace().collect();
    let rows = lines.map(|(line, text)| {
        let cells: Vec<_> = text.split_whitespace().collect();
        assert_eq!(cells.len(), keys + acts.len(), "columns of line {}: {text}", line + 1);
        let (of_keys, expected) = cells.split_at(keys);
        let keys = of_keys.iter().map(|cell| cell.split(',').collect()).collect();
        Row { line: line + 1, keys, expected: expected.to_vec() }
    });
    let rows = rows.collect();
    Part { name, keys, acts, rows }
}

fn names(pattern: &str, word: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == word, |begin| word.starts_with(begin))
}

impl Part {
    /// What the table says of each of these cases, which are all that there are: none twice, none left out.
    pub(crate) fn all_of(&self, cases: &[Vec<&'static str>]) -> Vec<Case> {
        let (said, unsaid) = self.said_of(cases);
        assert!(unsaid.is_empty(), "{}: nothing is said of {unsaid:?}", self.name);
        said
    }

    /// What the table says of those of the cases that it names, none twice.
    pub(crate) fn some_of(&self, cases: &[Vec<&'static str>]) -> Vec<Case> {
        self.said_of(cases).0
    }

    fn said_of(&self, cases: &[Vec<&'static str>]) -> (Vec<Case>, Vec<Vec<&'static str>>) {
        for row in &self.rows {
            for (at, patterns) in row.keys.iter().enumerate() {
                for pattern in patterns {
                    let known = cases.iter().any(|case| names(pattern, case[at]));
                    assert!(known, "{} line {}: no such word: {pattern}", self.name, row.line);
                }
            }
        }
        let (mut said, mut unsaid) = (Vec::new(), Vec::new());
        let mut used = vec![false; self.rows.len()];
        for case in cases {
            assert_eq!(case.len(), self.keys);
            let mut found = None;
            for (number, row) in self.rows.iter().enumerate() {
                let named = |(patterns, word): (&Vec<&str>, &&str)| patterns.iter().any(|p| names(p, word));
                if row.keys.iter().zip(case).all(named) {
                    let before = found.replace(number);
                    let before = before.map(|number| self.rows[number].line);
                    assert_eq!(before, None, "{}: line {} too says of {case:?}", self.name, row.line);
                    used[number] = true;
                }
            }
            match found.map(|number| &self.rows[number]) {
                Some(row) => {
                    said.push(Case { line: row.line, keys: case.clone(), expected: row.expected.clone() });
                }
                None => unsaid.push(case.clone()),
            }
        }
        for (row, used) in self.rows.iter().zip(used) {
            assert!(used, "{} line {}: names no case", self.name, row.line);
        }
        (said, unsaid)
    }
}

/// Every case of `roles`: place, package, link, caller.
pub(crate) fn roles() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |place, packages: &[&'static str], links: &[&'static str], callers: &[&'static str]| {
        for package in packages {
            for link in links.iter().filter(|link| *package != "absent" || **link == "none") {
                cases.extend(callers.iter().map(|caller| vec![place, *package, *link, *caller]));
            }
        }
    };
    add("organization", &PACKAGES, &LINKS, &IN_ORGANIZATION);
    add("user", &["private", "public", "absent"], &["none", "linked", "inherits"], &OF_USER);
    part("roles").all_of(&cases)
}

/// Every case of `actions`: package, role, token.
pub(crate) fn actions() -> Vec<Case> {
    let mut cases = Vec::new();
    for package in PACKAGES {
        for role in ROLES {
            match (package, role) {
                // Nothing is there to have a role on; everyone has one on what is public.
                ("absent", "read" | "write" | "admin") | ("public", "none") => continue,
                _ => cases.extend(TOKENS.map(|token| vec![package, role, token])),
            }
        }
        let by_visibility = if package == "public" { "read" } else { "none" };
        cases.extend(NOBODYS.map(|token| vec![package, by_visibility, token]));
        cases.push(vec![package, by_visibility, "worker"]);
        cases.push(vec![package, if package == "absent" { "none" } else { "admin" }, "operator"]);
    }
    part("actions").all_of(&cases)
}

/// Every case of `publish`: place, policy, caller.
pub(crate) fn publish() -> Vec<Case> {
    let callers = [
        "owner",
        "site-admin",
        "operator",
        "named-admin",
        "team-admin",
        "robot-admin",
        "named-read",
        "named-write",
        "team-write",
        "robot-write",
        "stranger",
        "member",
        "robot",
        "worker",
        "anonymous",
    ];
    let mut cases = Vec::new();
    for policy in POLICIES {
        cases.extend(callers.map(|caller| vec!["organization", policy, caller]));
    }
    let users = callers.iter().filter(|caller| OF_USER.contains(caller));
    cases.extend(users.map(|caller| vec!["user", "none", *caller]));
    part("publish").all_of(&cases)
}

/// Every case of `create`: place, policy, caller, token.
pub(crate) fn create() -> Vec<Case> {
    let anywhere = ["stranger", "owner", "site-admin", "other-robot", "anonymous", "operator", "worker"];
    let inside = ["member", "robot", "robot-read", "robot-write", "robot-admin"];
    let mut cases = Vec::new();
    let mut add = |place, policy, caller| {
        cases.extend(tokens_of(caller).iter().map(|token| vec![place, policy, caller, *token]));
    };
    for policy in DEFAULTS {
        for caller in anywhere.iter().chain(&inside) {
            add("organization", policy, *caller);
        }
    }
    for place in ["user", "nowhere", "taken"] {
        for caller in anywhere {
            add(place, "none", caller);
        }
    }
    part("create").all_of(&cases)
}

fn product(columns: &[&[&'static str]]) -> Vec<Vec<&'static str>> {
    columns.iter().fold(vec![Vec::new()], |cases, words| {
        let longer = |case: &Vec<&'static str>| {
            let case = case.clone();
            words.iter().map(move |word| [case.as_slice(), &[word]].concat()).collect::<Vec<_>>()
        };
        cases.iter().flat_map(longer).collect()
    })
}

/// Tokens of an account for what is no package.
const TOKENS_OF_PLACES: [&str; 28] = [
    "nobody",
    "operator",
    "worker",
    "no",
    "repo",
    "public_repo",
    "delete_repo",
    "repo+delete_repo",
    "read",
    "write",
    "write+delete",
    "all",
    "user",
    "read:org",
    "write:org",
    "admin:org",
    "fine:nothing",
    "fine:other-owner",
    "fine:other-package",
    "fine:owner-read",
    "fine:owner-write",
    "fine:owner-admin",
    "fine:package-read",
    "fine:package-write",
    "fine:package-admin",
    "fine:owner-read+package-write",
    "fine:owner-admin+package-read",
    "all>none",
];
const BEARERS_OF_PLACES: [&str; 6] =
    ["all>pull", "all>push", "all>all", "all>catalog", "fine-owner-admin>all", "fine-package-read>all"];

/// The tokens of those parts that are about no package.
pub(crate) fn tokens_of_places() -> Vec<&'static str> {
    [TOKENS_OF_PLACES.as_slice(), &BEARERS_OF_PLACES].concat()
}

/// The cases of `namespaces` that the table names: place, caller, token.
pub(crate) fn namespaces() -> Vec<Case> {
    let places = ["organization", "closed", "user", "nowhere"];
    let callers = ["anonymous", "worker", "operator", "stranger", "robot", "member", "owner", "site-admin"];
    part("namespaces").some_of(&product(&[&places, &callers, &tokens_of_places()]))
}

/// The cases of `repositories` that the table names: visibility, caller, token.
pub(crate) fn repositories() -> Vec<Case> {
    let callers = [
        "anonymous",
        "worker",
        "operator",
        "stranger",
        "robot",
        "member",
        "member-base-none",
        "collaborator-read",
        "collaborator-triage",
        "collaborator-write",
        "collaborator-maintain",
        "collaborator-admin",
        "owner",
        "site-admin",
    ];
    part("repositories").some_of(&product(&[&PACKAGES, &callers, &tokens_of_places()]))
}

/// The cases of `teams` that the table names: team, caller, token.
pub(crate) fn teams() -> Vec<Case> {
    let callers = [
        "anonymous",
        "worker",
        "operator",
        "stranger",
        "robot",
        "member",
        "in",
        "maintains",
        "owner",
        "site-admin",
    ];
    part("teams").some_of(&product(&[&["visible", "secret", "absent"], &callers, &tokens_of_places()]))
}

/// The cases of `own` that the table names: caller, token.
pub(crate) fn own() -> Vec<Case> {
    let callers = ["anonymous", "worker", "operator", "stranger", "site-admin"];
    part("own").some_of(&product(&[&callers, &tokens_of_places()]))
}

/// The cases of `move` that the table names: visibility, caller, to where, token.
pub(crate) fn moves() -> Vec<Case> {
    let packages = ["private", "internal", "public"];
    let callers = [
        "anonymous",
        "stranger",
        "member",
        "named-write",
        "named-admin",
        "team-admin",
        "robot-admin",
        "owner",
        "site-admin",
    ];
    let places = ["same", "own", "member", "strict", "owned", "foreign", "nowhere", "taken"];
    let tokens = [NOBODYS.as_slice(), &TOKENS].concat();
    part("move").some_of(&product(&[&packages, &callers, &places, &tokens]))
}

/// What a word for a token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    /// Of a bearer token.
    pub(crate) carries: Option<Carries>,
}

/// What is shown, or what is behind the bearer token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nobody,
    Operator,
    Worker,
    /// All scopes there are.
    All,
    /// Scopes by GitHub's names.
    Classic(Vec<String>),
    /// What it was made for, and the most that it may there.
    Fine(Vec<(Chosen, &'static str)>),
}

/// What a fine-grained token was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chosen {
    /// The owner of the package.
    Owner,
    /// The package.
    Package,
    /// Another account that owns packages.
    OtherOwner,
    /// Another package of the same owner.
    OtherPackage,
}

/// What a bearer token carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Carries {
    /// Actions by the protocol's names on the package that is asked about.
    Here(Vec<&'static str>),
    /// All of them on another.
    Other,
    /// The list of packages.
    Catalog,
}

/// Reads the word for a token.
pub(crate) fn token(word: &'static str) -> Token {
    match word.split_once('>') {
        None => Token { kind: kind(word), carries: None },
        Some((behind, carried)) => {
            let carries = match carried {
                "none" => Carries::Here(vec![]),
                "all" => Carries::Here(vec!["pull", "push", "delete"]),
                "other" => Carries::Other,
                "catalog" => Carries::Catalog,
                actions => Carries::Here(actions.split('+').collect()),
            };
            Token { kind: kind(behind), carries: Some(carries) }
        }
    }
}

fn kind(word: &'static str) -> Kind {
    if let Some(chosen) = word.strip_prefix("fine:").or_else(|| word.strip_prefix("fine-")) {
        let chosen = chosen.split('+').filter(|part| *part != "nothing").map(|part| match part {
            "other-owner" => (Chosen::OtherOwner, "admin"),
            "other-package" => (Chosen::OtherPackage, "admin"),
            _ => match part.split_once('-') {
                Some(("owner", role)) => (Chosen::Owner, role),
                Some(("package", role)) => (Chosen::Package, role),
                _ => panic!("no such limit: {part}"),
            },
        });
        return Kind::Fine(chosen.collect());
    }
    let scope = |word| match word {
        "read" | "write" | "delete" => format!("{word}:packages"),
        _ => str::to_owned(word),
    };
    match word {
        "nobody" => Kind::Nobody,
        "operator" => Kind::Operator,
        "worker" => Kind::Worker,
        "all" => Kind::All,
        "no" => Kind::Classic(vec![]),
        scopes => Kind::Classic(scopes.split('+').map(scope).collect()),
    }
}
