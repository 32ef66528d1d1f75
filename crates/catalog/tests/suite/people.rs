//! Organizations, teams, repositories, and who has a role on a package.

use crate::house::{Actor, Done, House, NOW, may_change, on_every_database};
use packhouse_access::{
    Administer, Caller, CreateRepository, EditRepository, EditTeam, Govern, Granted, Inspect, LinkRepository,
    ListCollaborators, ManageTeams, Policy, RepositoryRole, Role, Scopes, SeeTeam, TeamId, Visibility,
    decide_create_repository, decide_edit_team, decide_list_repositories, decide_namespace, decide_own,
    decide_repository, decide_see_team,
};
use packhouse_catalog::{
    Affiliation, Affiliations, Micros, OrganizationPolicy, Presented, Profile, ReadTx, RepositoryRecord,
    TeamRecord, Window, WriteTx,
};

on_every_database!(
    a_profile_is_kept,
    a_deleted_organization_takes_all_it_has_along,
    a_policy_is_github_s_until_it_is_set,
    members_are_listed_in_pages_and_by_what_they_are,
    who_leaves_an_organization_leaves_what_is_closed,
    teams_are_made_changed_and_deleted_with_what_they_have,
    a_secret_team_is_seen_by_who_is_in_it,
    the_teams_above_one_are_known_and_counted,
    repositories_are_counted_and_found_by_who_may_see_them,
    collaborators_are_those_who_were_named_or_everyone,
    a_deleted_repository_leaves_its_packages,
    a_renamed_repository_keeps_what_is_linked,
    inheriting_drops_the_roles_of_the_package,
    roles_go_to_accounts_teams_and_repositories,
);

const PAGE: u32 = 100;

pub(crate) fn caller<'tx>(tx: &mut ReadTx<'_, 'tx>, shows: &Presented) -> Done<Caller<'tx>> {
    Ok(tx.caller(shows, NOW)?.expect("the credential is good"))
}

/// The operator's proofs over an organization.
fn govern<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    org: &str,
) -> Done<(Granted<'tx, Govern>, Granted<'tx, Inspect>, Granted<'tx, ManageTeams>)> {
    let operator = caller(tx, &Presented::Operator)?;
    let facts = tx.namespace_facts(&operator, org)?;
    Ok((decide_namespace(&facts)?, decide_namespace(&facts)?, decide_namespace(&facts)?))
}

fn team_may<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    org: &str,
    slug: &str,
) -> Done<(Granted<'tx, EditTeam>, Granted<'tx, SeeTeam>)> {
    let operator = caller(tx, &Presented::Operator)?;
    let facts = tx.team_facts(&operator, org, slug)?;
    Ok((decide_edit_team(&facts)?, decide_see_team(&facts)?))
}

fn record(slug: &str, parent: Option<TeamId>) -> TeamRecord {
    TeamRecord { slug: slug.to_owned(), name: slug.to_uppercase(), description: None, secret: false, parent }
}

fn repository(path: &str, visibility: Visibility) -> RepositoryRecord {
    RepositoryRecord {
        path: path.to_owned(),
        name: path.split_once('/').unwrap().1.to_owned(),
        visibility,
        description: Some("a thing".to_owned()),
        homepage: None,
        default_branch: "main".to_owned(),
        archived: false,
    }
}

impl House {
    fn team(&self, org: &str, slug: &str, parent: Option<TeamId>) -> TeamId {
        let (now, org, record) = (self.now(), org.to_owned(), record(slug, parent));
        self.write(move |tx| {
            let (_, _, may) = govern(tx, &org)?;
            Ok(tx.create_team(&may, &record, now)?.unwrap())
        })
        .unwrap()
    }

    fn put_in_team(&self, org: &str, slug: &str, user: &Actor, maintainer: bool) -> bool {
        let (org, slug, user) = (org.to_owned(), slug.to_owned(), user.id);
        self.write(move |tx| {
            let (may, _) = team_may(tx, &org, &slug)?;
            Ok(tx.put_team_member(&may, user, maintainer)?)
        })
        .unwrap()
    }

    fn repository(&self, path: &str, visibility: Visibility) {
        let (now, record) = (self.now(), repository(path, visibility));
        self.write(move |tx| {
            let operator = caller(tx, &Presented::Operator)?;
            let owner = record.path.split_once('/').unwrap().0.to_owned();
            let facts = tx.namespace_facts(&operator, &owner)?;
            let may: Granted<'_, CreateRepository> = decide_create_repository(&facts, record.visibility)?;
            tx.create_repository(&may, &record, now)?.unwrap();
            Ok(())
        })
        .unwrap();
    }

    fn collaborator(&self, path: &str, user: &Actor, role: RepositoryRole) {
        let (path, user) = (path.to_owned(), user.id);
        self.write(move |tx| {
            let operator = caller(tx, &Presented::Operator)?;
            let may = decide_repository::<EditRepository>(&tx.repository_facts(&operator, &path)?)?;
            Ok(tx.put_collaborator(&may, user, role)?)
        })
        .unwrap();
    }

    fn team_on(&self, path: &str, org: &str, slug: &str, role: RepositoryRole) {
        let (path, org, slug) = (path.to_owned(), org.to_owned(), slug.to_owned());
        self.write(move |tx| {
            let operator = caller(tx, &Presented::Operator)?;
            let may = decide_repository::<EditRepository>(&tx.repository_facts(&operator, &path)?)?;
            let (_, team) = team_may(tx, &org, &slug)?;
            Ok(tx.put_team_role(&may, &team, role)?)
        })
        .unwrap();
    }

    fn link(&self, package: &str, path: &str, inherits: bool) {
        let (now, package, path) = (self.now(), package.to_owned(), path.to_owned());
        self.write(move |tx| {
            let may = may_change::<Administer>(tx, &Presented::Operator, &package)?;
            let operator = caller(tx, &Presented::Operator)?;
            let repository = decide_repository::<LinkRepository>(&tx.repository_facts(&operator, &path)?)?;
            Ok(tx.link_package(&may, &repository, inherits, Some("a label"), now)?)
        })
        .unwrap();
    }

    /// Paths of the repositories in a namespace that one sees.
    fn sees(&self, who: &Presented, owner: &str, window: Window) -> Vec<String> {
        let (who, owner) = (who.clone(), owner.to_owned());
        self.read(move |tx| {
            let caller = caller(tx, &who)?;
            let may = decide_list_repositories(&tx.namespace_facts(&caller, &owner)?)?;
            let found = tx.repositories_in(&may, &window)?;
            Ok(found.into_iter().map(|repository| repository.path).collect())
        })
        .unwrap()
    }

    fn leave(&self, org: &str, user: &Actor) -> bool {
        let (org, user) = (org.to_owned(), user.id);
        self.write(move |tx| {
            let (may, _, _) = govern(tx, &org)?;
            Ok(tx.remove_membership(&may, user)?)
        })
        .unwrap()
    }

    fn set_policy(&self, org: &str, policy: OrganizationPolicy) {
        let org = org.to_owned();
        self.write(move |tx| {
            let (may, _, _) = govern(tx, &org)?;
            Ok(tx.set_policy(&may, &policy)?)
        })
        .unwrap();
    }
}

fn names(of: &[&str]) -> Vec<String> {
    of.iter().map(|name| (*name).to_owned()).collect()
}

fn a_profile_is_kept(house: &House) {
    let mona = house.user("mona");
    house.organization("acme", &mona);
    let profile = Profile {
        display_name: Some("Mona Lisa".to_owned()),
        description: None,
        email: Some("mona@example.org".to_owned()),
    };
    let own = profile.clone();
    house
        .write(move |tx| {
            let caller = caller(tx, &mona.shows)?;
            Ok(tx.set_own_profile(&decide_own(&caller, Scopes::USER)?, &own, Micros(77))?)
        })
        .unwrap();
    let found = house.read(|tx| Ok(tx.account("mona")?)).unwrap().unwrap();
    assert_eq!(
        (found.display_name, found.description, found.email, found.updated_at),
        (profile.display_name.clone(), None, profile.email.clone(), Micros(77))
    );
    house
        .write(move |tx| {
            let (may, _, _) = govern(tx, "acme")?;
            Ok(tx.set_profile(&may, &profile, Micros(78))?)
        })
        .unwrap();
    let found = house.read(|tx| Ok(tx.account("acme")?)).unwrap().unwrap();
    assert_eq!((found.display_name.as_deref(), found.updated_at), (Some("Mona Lisa"), Micros(78)));
}

fn a_deleted_organization_takes_all_it_has_along(house: &House) {
    let (mona, hubot) = (house.user("mona"), house.user("hubot"));
    let acme = house.organization("acme", &mona);
    let other = house.organization("other", &mona);
    for (id, org) in [(acme, "acme"), (other, "other")] {
        house.join(id, &hubot, false);
        let path = format!("{org}/app");
        house.package(&mona, &path);
        house.grant(&path, &hubot, Role::Read);
        house.repository(&path, Visibility::Private);
        house.link(&path, &path, false);
        house.collaborator(&path, &hubot, RepositoryRole::Read);
        let top = house.team(org, "top", None);
        house.team(org, "dev", Some(top));
        house.put_in_team(org, "dev", &hubot, false);
        house.team_on(&path, org, "dev", RepositoryRole::Read);
        house.set_policy(org, OrganizationPolicy { base_role: None, ..OrganizationPolicy::default() });
    }
    house
        .write(|tx| {
            let (may, _, _) = govern(tx, "acme")?;
            let end = packhouse_access::decide_account_end(&may, tx.survey_account(&may)?)?;
            Ok(tx.delete_organization(&may, &end, Micros(77))?)
        })
        .unwrap();
    for table in ["policies", "repositories", "repository_accounts", "repository_teams", "team_members"] {
        assert_eq!(house.number(&format!("SELECT count(*) FROM {table}")), 1, "{table}: the other's stays");
    }
    assert_eq!(house.number("SELECT count(*) FROM teams"), 2);
    assert_eq!(house.number("SELECT count(*) FROM memberships"), 2);
    let ended = format!("~{}/acme/app", acme.0);
    assert_eq!(
        house.rows("SELECT path, deleted_at FROM packages WHERE deleted_at IS NOT NULL"),
        [format!("{ended} 77")]
    );
    // The name is free, and what was there before is not the new one's.
    assert!(house.read(|tx| Ok(tx.account("acme")?)).unwrap().is_none());
    house.organization("acme", &hubot);
    house.package(&hubot, "acme/app");
    let deleted = house
        .read(move |tx| {
            let caller = caller(tx, &hubot.shows)?;
            Ok(tx.facts_deleted(&caller, "acme/app", Micros(0))?.exists())
        })
        .unwrap();
    assert!(!deleted);
}

fn a_policy_is_github_s_until_it_is_set(house: &House) {
    house.organization("acme", &house.user("mona"));
    let read = || {
        house
            .write(|tx| {
                let (_, see, _) = govern(tx, "acme")?;
                Ok(tx.policy(&see)?)
            })
            .unwrap()
    };
    assert_eq!(read(), OrganizationPolicy::default());
    assert_eq!(read().base_role, Some(RepositoryRole::Read));
    let packages = Policy { private: true, internal: false, public: true, default: Visibility::Public };
    for base_role in [None, Some(RepositoryRole::Write)] {
        let policy = OrganizationPolicy {
            packages,
            packages_inherit: false,
            base_role,
            members_create_repositories: false,
        };
        house.set_policy("acme", policy);
        assert_eq!(read(), policy);
    }
}

fn members_are_listed_in_pages_and_by_what_they_are(house: &House) {
    let (mona, hubot, abe) = (house.user("mona"), house.user("hubot"), house.user("abe"));
    let acme = house.organization("acme", &mona);
    house.organization("other", &hubot);
    house.join(acme, &hubot, false);
    house.join(acme, &abe, false);
    let page = |owners, window: Window| {
        house
            .write(move |tx| {
                let (_, see, _) = govern(tx, "acme")?;
                assert_eq!(tx.member_count(&see)?, 3);
                let found = tx.members_listed(&see, owners, &window)?;
                Ok(found.into_iter().map(|member| member.account.name).collect::<Vec<_>>())
            })
            .unwrap()
    };
    let all = Window::first(PAGE);
    assert_eq!(page(None, all.clone()), names(&["abe", "hubot", "mona"]));
    assert_eq!(page(Some(true), all.clone()), names(&["mona"]));
    assert_eq!(page(Some(false), all.clone()), names(&["abe", "hubot"]));
    assert_eq!(page(None, Window { skip: 1, limit: 1, ..all.clone() }), names(&["hubot"]));
    assert_eq!(page(None, Window { after: "abe".to_owned(), ..all.clone() }), names(&["hubot", "mona"]));

    let shared = |who: &Actor, user: &Actor| {
        let (who, user) = (who.shows.clone(), user.id);
        house
            .read(move |tx| {
                let caller = caller(tx, &who)?;
                let may = decide_own(&caller, Scopes::NONE)?;
                let found = tx.shared_memberships(&may, user, &Window::first(PAGE))?;
                Ok(found.into_iter().map(|found| found.account.name).collect::<Vec<_>>())
            })
            .unwrap()
    };
    assert_eq!(shared(&hubot, &hubot), names(&["acme", "other"]));
    assert_eq!(shared(&abe, &hubot), names(&["acme"]), "not those that abe is not in");
}

fn who_leaves_an_organization_leaves_what_is_closed(house: &House) {
    let (mona, hubot, abe) = (house.user("mona"), house.user("hubot"), house.user("abe"));
    let acme = house.organization("acme", &mona);
    for user in [&hubot, &abe] {
        house.join(acme, user, false);
    }
    house.team("acme", "dev", None);
    for (path, visibility) in
        [("acme/a", Visibility::Private), ("acme/b", Visibility::Internal), ("acme/c", Visibility::Public)]
    {
        house.package(&mona, path);
        house.set_visibility(path, visibility);
        house.repository(path, visibility);
        for user in [&hubot, &abe] {
            house.grant(path, user, Role::Read);
            house.collaborator(path, user, RepositoryRole::Read);
        }
    }
    house.package(&hubot, "hubot/own");
    assert!(house.put_in_team("acme", "dev", &hubot, false));
    assert!(house.put_in_team("acme", "dev", &abe, true));
    assert!(house.leave("acme", &hubot));
    assert!(!house.leave("acme", &hubot), "there is none any more");
    assert!(!house.put_in_team("acme", "dev", &hubot, false), "who is no member is in no team");

    let of = |user: &Actor| {
        let grants = house.rows(&format!(
            "SELECT p.path FROM package_grants g JOIN packages p ON p.id = g.package_id
             WHERE g.account_id = {} ORDER BY p.path",
            user.id.0
        ));
        let roles = house.rows(&format!(
            "SELECT r.path FROM repository_accounts c JOIN repositories r ON r.id = c.repository_id
             WHERE c.account_id = {} ORDER BY r.path",
            user.id.0
        ));
        let teams =
            house.number(&format!("SELECT count(*) FROM team_members WHERE account_id = {}", user.id.0));
        (grants, roles, teams)
    };
    assert_eq!(of(&hubot), (names(&["acme/c"]), names(&["acme/c"]), 0));
    let all = names(&["acme/a", "acme/b", "acme/c"]);
    assert_eq!(of(&abe), (all.clone(), all, 1));
    assert_eq!(house.number("SELECT member_count FROM teams"), 1);
}

fn teams_are_made_changed_and_deleted_with_what_they_have(house: &House) {
    let (mona, hubot) = (house.user("mona"), house.user("hubot"));
    let acme = house.organization("acme", &mona);
    house.organization("other", &mona);
    house.join(acme, &hubot, false);
    let top = house.team("acme", "top", None);
    let dev = house.team("acme", "dev", Some(top));
    house.team("acme", "web", Some(dev));
    house.team("other", "dev", None);
    let now = house.now();
    let again = house.write(move |tx| {
        let (_, _, may) = govern(tx, "acme")?;
        Ok(tx.create_team(&may, &record("dev", None), now)?)
    });
    assert_eq!(again.unwrap(), None, "the slug is taken");

    assert!(house.put_in_team("acme", "dev", &hubot, false));
    assert!(house.put_in_team("acme", "dev", &hubot, true), "a second time it changes the role");
    house.repository("acme/app", Visibility::Private);
    house.team_on("acme/app", "acme", "dev", RepositoryRole::Write);
    house.team_on("acme/app", "acme", "dev", RepositoryRole::Admin);
    let seen = house
        .write(|tx| {
            let (may, see) = team_may(tx, "acme", "dev")?;
            let roles = tx.team_repositories(&see, Visibility::Private, &Window::first(PAGE))?;
            let open = tx.team_repositories(&see, Visibility::Internal, &Window::first(PAGE))?;
            assert!(open.is_empty(), "a private one is not among the open ones");
            let maintainers = tx.team_members(&see, Some(true), &Window::first(PAGE))?;
            let others = tx.team_members(&see, Some(false), &Window::first(PAGE))?;
            assert_eq!((maintainers.len(), others.len(), tx.team_depth(&may)?), (1, 0, 1));
            let below = tx.teams_below(&see, &Window::first(PAGE))?;
            assert_eq!(below.len(), 1);
            Ok((tx.team(&see)?, roles))
        })
        .unwrap();
    assert_eq!((seen.0.members, seen.0.repositories, seen.0.name.as_str()), (1, 1, "DEV"));
    assert_eq!(seen.0.parent.map(|parent| parent.slug), Some("top".to_owned()));
    assert_eq!((seen.1[0].0.path.as_str(), seen.1[0].1), ("acme/app", RepositoryRole::Admin));

    let rename = |slug: &'static str| {
        house
            .write(move |tx| {
                let (may, _) = team_may(tx, "acme", "dev")?;
                Ok(tx.set_team(&may, &record(slug, None), Micros(9))?)
            })
            .unwrap()
    };
    assert!(!rename("web"), "another has that slug");
    assert!(rename("dev"), "its own it may keep");
    house
        .write(move |tx| {
            let (may, _) = team_may(tx, "acme", "dev")?;
            tx.set_team(&may, &record("dev", Some(top)), Micros(9))?;
            Ok(tx.delete_team(&may)?)
        })
        .unwrap();
    // The team below comes under the one above; nothing of the deleted one is left.
    assert_eq!(house.rows("SELECT slug FROM teams WHERE parent_id IS NOT NULL"), ["web"]);
    assert_eq!(
        house.number(&format!("SELECT parent_id FROM teams WHERE slug = 'web' AND parent_id = {}", top.0)),
        top.0
    );
    assert_eq!(house.number("SELECT count(*) FROM team_members"), 0);
    assert_eq!(house.number("SELECT count(*) FROM repository_teams"), 0);
}

fn a_secret_team_is_seen_by_who_is_in_it(house: &House) {
    let (mona, hubot, abe) = (house.user("mona"), house.user("hubot"), house.user("abe"));
    let acme = house.organization("acme", &mona);
    for user in [&hubot, &abe] {
        house.join(acme, user, false);
    }
    house.team("acme", "open", None);
    house
        .write(|tx| {
            let (_, _, may) = govern(tx, "acme")?;
            tx.create_team(&may, &TeamRecord { secret: true, ..record("hidden", None) }, Micros(5))?;
            Ok(())
        })
        .unwrap();
    house.put_in_team("acme", "hidden", &hubot, false);
    let teams = |who: &Actor, all| {
        let shows = who.shows.clone();
        house
            .read(move |tx| {
                let caller = caller(tx, &shows)?;
                let see = decide_namespace::<Inspect>(&tx.namespace_facts(&caller, "acme")?)?;
                let found = tx.teams(&see, all, &Window::first(PAGE))?;
                let one = tx.team_facts(&caller, "acme", "hidden")?;
                Ok((
                    found.into_iter().map(|team| team.slug).collect::<Vec<_>>(),
                    decide_see_team(&one).is_ok(),
                ))
            })
            .unwrap()
    };
    assert_eq!(teams(&mona, true), (names(&["hidden", "open"]), true));
    assert_eq!(teams(&hubot, false), (names(&["hidden", "open"]), true));
    assert_eq!(teams(&abe, false), (names(&["open"]), false));
    let own = house
        .read(move |tx| {
            let caller = caller(tx, &hubot.shows)?;
            Ok(tx.own_teams(&decide_own(&caller, Scopes::NONE)?, &Window::first(PAGE))?)
        })
        .unwrap();
    assert_eq!(own.len(), 1);
    assert_eq!((own[0].slug.as_str(), own[0].organization.name.as_str()), ("hidden", "acme"));
}

fn the_teams_above_one_are_known_and_counted(house: &House) {
    house.organization("acme", &house.user("mona"));
    let a = house.team("acme", "a", None);
    let b = house.team("acme", "b", Some(a));
    let c = house.team("acme", "c", Some(b));
    house.team("acme", "d", Some(a));
    let (above, depths) = house
        .write(move |tx| {
            let (_, see, _) = govern(tx, "acme")?;
            let mut depths = Vec::new();
            for slug in ["a", "b", "c"] {
                let (may, _) = team_may(tx, "acme", slug)?;
                depths.push(tx.team_depth(&may)?);
            }
            Ok((tx.teams_above(&see, c)?, depths))
        })
        .unwrap();
    assert_eq!(above, [c, b, a]);
    assert_eq!(depths, [2, 1, 0]);
}

fn repositories_are_counted_and_found_by_who_may_see_them(house: &House) {
    let (mona, hubot, abe) = (house.user("mona"), house.user("hubot"), house.user("abe"));
    let outside = house.user("outside");
    let acme = house.organization("acme", &mona);
    for user in [&hubot, &abe] {
        house.join(acme, user, false);
    }
    house.repository("acme/open", Visibility::Public);
    house.repository("acme/inside", Visibility::Internal);
    house.repository("acme/shut", Visibility::Private);
    house.repository("acme/team", Visibility::Private);
    house.repository("mona/own", Visibility::Private);
    assert_eq!(
        house.rows("SELECT name, repository_count, public_repository_count FROM accounts WHERE name IN ('acme', 'mona') ORDER BY name"),
        ["acme 4 1", "mona 1 0"]
    );
    let parent = house.team("acme", "all", None);
    house.team("acme", "dev", Some(parent));
    house.put_in_team("acme", "dev", &hubot, false);
    house.team_on("acme/team", "acme", "all", RepositoryRole::Write);
    house.collaborator("acme/shut", &outside, RepositoryRole::Read);

    let all = || Window::first(PAGE);
    let everything = names(&["acme/inside", "acme/open", "acme/shut", "acme/team"]);
    assert_eq!(house.sees(&mona.shows, "acme", all()), everything);
    assert_eq!(house.sees(&abe.shows, "acme", all()), everything, "members read everything by default");
    assert_eq!(house.sees(&Presented::Anonymous { bound: None }, "acme", all()), names(&["acme/open"]));
    assert_eq!(house.sees(&outside.shows, "acme", all()), names(&["acme/open", "acme/shut"]));
    house.set_policy("acme", OrganizationPolicy { base_role: None, ..OrganizationPolicy::default() });
    assert_eq!(house.sees(&abe.shows, "acme", all()), names(&["acme/inside", "acme/open"]));
    let three = names(&["acme/inside", "acme/open", "acme/team"]);
    assert_eq!(house.sees(&hubot.shows, "acme", all()), three, "a team has what the one above has");
    let second = Window { skip: 1, limit: 1, ..all() };
    assert_eq!(house.sees(&hubot.shows, "acme", second), names(&["acme/open"]));
    let behind = Window { after: "acme/open".to_owned(), ..all() };
    assert_eq!(house.sees(&hubot.shows, "acme", behind), names(&["acme/team"]));

    let own = |who: &Actor, owner, collaborator, member, public_only| {
        let shows = who.shows.clone();
        house
            .read(move |tx| {
                let caller = caller(tx, &shows)?;
                let may = decide_own(&caller, Scopes::NONE)?;
                let which = Affiliations { owner, collaborator, member };
                let found = tx.own_repositories(&may, which, public_only, &Window::first(PAGE))?;
                Ok(found.into_iter().map(|repository| repository.path).collect::<Vec<_>>())
            })
            .unwrap()
    };
    assert_eq!(own(&mona, true, false, false, false), names(&["mona/own"]));
    assert_eq!(own(&mona, true, true, true, false).len(), 5);
    assert_eq!(own(&mona, true, true, true, true), names(&["acme/open"]));
    assert_eq!(own(&outside, true, true, true, false), names(&["acme/shut"]));
    assert_eq!(own(&outside, true, false, true, false), Vec::<String>::new());
    assert_eq!(own(&hubot, false, false, true, false), three);
}

fn collaborators_are_those_who_were_named_or_everyone(house: &House) {
    let (mona, hubot, abe) = (house.user("mona"), house.user("hubot"), house.user("abe"));
    let outside = house.user("outside");
    let acme = house.organization("acme", &mona);
    for user in [&hubot, &abe] {
        house.join(acme, user, false);
    }
    house.repository("acme/app", Visibility::Private);
    house.repository("acme/other", Visibility::Private);
    let parent = house.team("acme", "all", None);
    house.team("acme", "dev", Some(parent));
    house.put_in_team("acme", "dev", &hubot, false);
    house.team_on("acme/app", "acme", "all", RepositoryRole::Write);
    house.collaborator("acme/app", &outside, RepositoryRole::Triage);
    house.collaborator("acme/app", &abe, RepositoryRole::Maintain);
    let list = |which, least| {
        house
            .read(move |tx| {
                let operator = caller(tx, &Presented::Operator)?;
                let facts = tx.repository_facts(&operator, "acme/app")?;
                let may = decide_repository::<ListCollaborators>(&facts)?;
                let found = tx.collaborators(&may, which, least, &Window::first(PAGE))?;
                Ok(found
                    .into_iter()
                    .map(|one| format!("{} {}", one.account.name, one.role))
                    .collect::<Vec<_>>())
            })
            .unwrap()
    };
    assert_eq!(list(Affiliation::Direct, RepositoryRole::Read), names(&["abe maintain", "outside triage"]));
    assert_eq!(list(Affiliation::Outside, RepositoryRole::Read), names(&["outside triage"]));
    let everyone = names(&["abe maintain", "hubot write", "mona admin", "outside triage"]);
    assert_eq!(list(Affiliation::All, RepositoryRole::Read), everyone);
    let writers = names(&["abe maintain", "hubot write", "mona admin"]);
    assert_eq!(list(Affiliation::All, RepositoryRole::Write), writers);
    assert_eq!(list(Affiliation::Direct, RepositoryRole::Admin), Vec::<String>::new());
    for user in [&mona, &hubot, &abe, &outside] {
        let (id, name) = (user.id, user.name.clone());
        let role = house
            .read(move |tx| {
                let operator = caller(tx, &Presented::Operator)?;
                let facts = tx.repository_facts(&operator, "acme/app")?;
                let may = decide_repository::<ListCollaborators>(&facts)?;
                Ok(tx.role_of(&may, id)?)
            })
            .unwrap();
        let found = format!("{name} {}", role.unwrap());
        assert!(everyone.contains(&found), "{found}: one question and the list agree");
    }
}

fn a_deleted_repository_leaves_its_packages(house: &House) {
    let mona = house.user("mona");
    house.organization("acme", &mona);
    house.package(&mona, "acme/app");
    house.repository("acme/app", Visibility::Public);
    house.team("acme", "dev", None);
    house.team_on("acme/app", "acme", "dev", RepositoryRole::Write);
    house.link("acme/app", "acme/app", true);
    assert_eq!(house.rows("SELECT inherits, source FROM packages"), ["1 a label"]);
    house
        .write(|tx| {
            let operator = caller(tx, &Presented::Operator)?;
            let may = decide_repository(&tx.repository_facts(&operator, "acme/app")?)?;
            Ok(tx.delete_repository(&may, Micros(99))?)
        })
        .unwrap();
    assert_eq!(house.rows("SELECT inherits, updated_at FROM packages WHERE repository_id IS NULL"), ["0 99"]);
    assert_eq!(house.number("SELECT repository_count FROM teams"), 0);
    assert_eq!(house.number("SELECT count(*) FROM repository_teams"), 0);
    assert_eq!(
        house.rows("SELECT repository_count, public_repository_count FROM accounts WHERE name = 'acme'"),
        ["0 0"]
    );
}

fn a_renamed_repository_keeps_what_is_linked(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, "mona/app");
    house.repository("mona/app", Visibility::Private);
    house.repository("mona/taken", Visibility::Private);
    house.link("mona/app", "mona/app", true);
    let rename = |path: &'static str, visibility| {
        house
            .write(move |tx| {
                let operator = caller(tx, &Presented::Operator)?;
                let path_now = if tx.repository_facts(&operator, "mona/app")?.exists() {
                    "mona/app"
                } else {
                    "mona/new"
                };
                let may = decide_repository::<EditRepository>(&tx.repository_facts(&operator, path_now)?)?;
                Ok(tx.set_repository(&may, &repository(path, visibility), Micros(5))?)
            })
            .unwrap()
    };
    assert!(!rename("mona/taken", Visibility::Private));
    assert!(rename("mona/new", Visibility::Public));
    assert_eq!(house.number("SELECT public_repository_count FROM accounts WHERE name = 'mona'"), 1);
    assert!(rename("mona/new", Visibility::Private));
    assert_eq!(house.number("SELECT public_repository_count FROM accounts WHERE name = 'mona'"), 0);
    let linked = house
        .write(|tx| {
            let may = may_change::<Administer>(tx, &Presented::Operator, "mona/app")?;
            Ok((tx.linked_repository(&may)?.unwrap().path, tx.package_link(&may)?.inherits))
        })
        .unwrap();
    assert_eq!(linked, ("mona/new".to_owned(), true));
}

fn inheriting_drops_the_roles_of_the_package(house: &House) {
    let (mona, hubot) = (house.user("mona"), house.user("hubot"));
    for package in ["mona/app", "mona/other"] {
        house.package(&mona, package);
        house.grant(package, &hubot, Role::Write);
    }
    house.repository("mona/app", Visibility::Private);
    house.link("mona/app", "mona/app", false);
    let granted = || {
        house.rows(
            "SELECT p.path FROM package_grants g JOIN packages p ON p.id = g.package_id ORDER BY p.path",
        )
    };
    assert_eq!(granted(), ["mona/app", "mona/other"], "a link alone changes no role");
    let set = |inherits| {
        house
            .write(move |tx| {
                let may = may_change::<Administer>(tx, &Presented::Operator, "mona/app")?;
                Ok(tx.set_inherits(&may, inherits, Micros(5))?)
            })
            .unwrap();
    };
    set(true);
    assert_eq!(granted(), ["mona/other"]);
    set(false);
    assert_eq!(granted(), ["mona/other"], "what was dropped does not come back");
    house
        .write(|tx| {
            let may = may_change::<Administer>(tx, &Presented::Operator, "mona/app")?;
            tx.set_inherits(&may, true, Micros(6))?;
            Ok(tx.unlink_package(&may, Micros(7))?)
        })
        .unwrap();
    assert_eq!(
        house.rows("SELECT inherits, source, updated_at FROM packages WHERE path = 'mona/app' AND repository_id IS NULL"),
        ["0 a label 7"],
        "the label is remembered"
    );
}

fn roles_go_to_accounts_teams_and_repositories(house: &House) {
    let (mona, hubot) = (house.user("mona"), house.user("hubot"));
    let acme = house.organization("acme", &mona);
    house.organization("other", &mona);
    house.join(acme, &hubot, false);
    house.package(&mona, "acme/app");
    house.team("acme", "dev", None);
    house.team("other", "far", None);
    house.repository("acme/app", Visibility::Private);
    house.repository("other/app", Visibility::Private);
    house.grant("acme/app", &hubot, Role::Read);
    let outside = house.user("outside");
    house
        .write(move |tx| {
            let may = may_change::<Administer>(tx, &Presented::Operator, "acme/app")?;
            assert!(tx.belongs_to_owner(&may, hubot.id)? && !tx.belongs_to_owner(&may, outside.id)?);
            assert!(tx.owned_team(&may, "far")?.is_none(), "a team of another organization");
            assert!(tx.owned_repository(&may, "other/app")?.is_none(), "a repository of another owner");
            let team = tx.owned_team(&may, "dev")?.unwrap();
            let repository = tx.owned_repository(&may, "acme/app")?.unwrap();
            tx.grant_team(&may, &team, Role::Write, Micros(1))?;
            tx.grant_team(&may, &team, Role::Admin, Micros(2))?;
            tx.grant_repository(&may, &repository, Role::Write, Micros(1))?;
            Ok(())
        })
        .unwrap();
    let lists = || {
        house
            .read(|tx| {
                let operator = caller(tx, &Presented::Operator)?;
                let may: Granted<'_, Administer> =
                    packhouse_access::decide(&tx.facts(&operator, "acme/app")?)?;
                let accounts =
                    tx.granted_accounts(&may, PAGE)?.into_iter().map(|(a, r)| format!("{} {r}", a.name));
                let teams = tx.granted_teams(&may, PAGE)?.into_iter().map(|(t, r)| format!("{} {r}", t.slug));
                let repositories =
                    tx.granted_repositories(&may, PAGE)?.into_iter().map(|(p, r)| format!("{} {r}", p.path));
                Ok(accounts.chain(teams).chain(repositories).collect::<Vec<_>>())
            })
            .unwrap()
    };
    assert_eq!(lists(), ["hubot read", "mona admin", "dev admin", "acme/app write"]);
    house
        .write(|tx| {
            let may = may_change::<Administer>(tx, &Presented::Operator, "acme/app")?;
            let team = tx.owned_team(&may, "dev")?.unwrap();
            let repository = tx.owned_repository(&may, "acme/app")?.unwrap();
            assert!(tx.revoke_team(&may, &team)? && !tx.revoke_team(&may, &team)?);
            assert!(tx.revoke_repository(&may, &repository)? && !tx.revoke_repository(&may, &repository)?);
            Ok(())
        })
        .unwrap();
    assert_eq!(lists(), ["hubot read", "mona admin"]);
}
