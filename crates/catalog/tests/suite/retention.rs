//! Retention policies as rows, what they are applied to, and the leases of jobs.

use crate::house::{Actor, Done, House, caller, collector, image, index, may, may_change, on_every_database};
use packhouse_access::{Administer, ManageRules, Prune, See, VersionId, decide_namespace, decide_prune};
use packhouse_catalog::{DuePolicy, Micros, NewRetention, Presented, PruneRow, ReadTx};

on_every_database!(
    a_package_is_under_its_own_policy_or_its_owners,
    policies_are_due_in_their_order_and_again_after_they_ran,
    versions_come_with_tags_and_wholes_in_pages,
    a_job_is_one_holders_until_its_time_is_over,
);

fn policy(text: &str, due_at: Option<i64>) -> NewRetention {
    NewRetention { policy: text.to_owned(), due_at: due_at.map(Micros) }
}

fn stage(house: &House) -> Actor {
    let mona = house.user("mona");
    house.package(&mona, "mona/one");
    house.package(&mona, "mona/two");
    mona
}

fn put(house: &House, by: &Actor, path: Option<&'static str>, new: NewRetention) {
    let shows = by.shows.clone();
    house
        .write(move |tx| match path {
            Some(path) => {
                let may = may_change::<Administer>(tx, &shows, path)?;
                Ok(tx.put_retention(&may, &new, Micros(5))?)
            }
            None => {
                let caller = caller(tx, &shows)?;
                let may = decide_namespace::<ManageRules>(&tx.namespace_facts(&caller, "mona")?)?;
                Ok(tx.put_owner_retention(&may, &new, Micros(5))?)
            }
        })
        .unwrap();
}

fn under(house: &House, by: &Actor, path: &'static str) -> Option<String> {
    let shows = by.shows.clone();
    let found = house.read(move |tx| {
        let may = may::<See>(tx, &shows, path)?;
        Ok(tx.retention(&may)?)
    });
    found.unwrap().map(|record| format!("{} {} own {}", record.of, record.policy, record.own))
}

fn a_package_is_under_its_own_policy_or_its_owners(house: &House) {
    let mona = stage(house);
    assert_eq!(under(house, &mona, "mona/one"), None);
    put(house, &mona, None, policy("owner's", None));
    put(house, &mona, Some("mona/one"), policy("first", None));
    put(house, &mona, Some("mona/one"), policy("second", None));
    assert_eq!(under(house, &mona, "mona/one").as_deref(), Some("mona/one second own true"));
    assert_eq!(under(house, &mona, "mona/two").as_deref(), Some("mona owner's own false"));
    let shows = mona.shows.clone();
    let removed = house.write(move |tx| {
        let may = may_change::<Administer>(tx, &shows, "mona/one")?;
        Ok((tx.remove_retention(&may)?, tx.remove_retention(&may)?))
    });
    assert_eq!(removed.unwrap(), (true, false));
    assert_eq!(under(house, &mona, "mona/one").as_deref(), Some("mona owner's own false"));
}

fn due(house: &House, now: i64) -> Vec<DuePolicy> {
    house
        .read(move |tx| {
            let may = collector(tx)?;
            Ok(tx.retention_due(&may, Micros(now), 9)?)
        })
        .unwrap()
}

fn policies_are_due_in_their_order_and_again_after_they_ran(house: &House) {
    let mona = stage(house);
    put(house, &mona, None, policy("owner's", Some(30)));
    put(house, &mona, Some("mona/two"), policy("two's", Some(20)));
    put(house, &mona, Some("mona/one"), policy("by hand", None));
    assert_eq!(due(house, 19).len(), 0);
    let found = due(house, 30);
    assert_eq!(found.iter().map(|due| due.policy.as_str()).collect::<Vec<_>>(), ["two's", "owner's"]);
    // The owner's is for what has none of its own.
    house.package(&mona, "mona/three");
    let (two, of_owner) = (found[0].clone(), found[1].clone());
    let ids = [two.id, of_owner.id];
    let paths = house.read(move |tx| {
        let may = collector(tx)?;
        let mut all = Vec::new();
        for id in ids {
            all.push(tx.packages_under(&may, id, "", 9)?);
        }
        all.push(tx.packages_under(&may, ids[1], "mona/three", 9)?);
        Ok(all)
    });
    assert_eq!(paths.unwrap(), [vec!["mona/two"], vec!["mona/three"], vec![]]);
    // One that was changed while it ran keeps the time that it was given then.
    let stale = DuePolicy { policy: "as it was".to_owned(), ..of_owner };
    house
        .write(move |tx| {
            let may = collector(tx)?;
            tx.retention_ran(&may, &two, (7, 2), Some(Micros(90)), Micros(31))?;
            Ok(tx.retention_ran(&may, &stale, (1, 1), Some(Micros(90)), Micros(31))?)
        })
        .unwrap();
    let rows = house
        .rows("SELECT policy, due_at, ran_at, kept, dropped FROM retention WHERE due_at > 0 ORDER BY id");
    assert_eq!(rows, ["owner's 30 31 1 1", "two's 90 31 7 2"]);
}

fn pruner<'tx>(tx: &mut ReadTx<'_, 'tx>) -> Done<packhouse_access::Granted<'tx, Prune>> {
    let worker = caller(tx, &Presented::Worker)?;
    Ok(decide_prune(&tx.facts(&worker, "mona/one")?)?)
}

fn versions_come_with_tags_and_wholes_in_pages(house: &House) {
    let mona = stage(house);
    let (a, b) = (image("a", &[]).build(), image("b", &[]).build());
    let one = house.push(&mona, "mona/one", &a, Some("v1")).version;
    house.push(&mona, "mona/one", &a, Some("latest"));
    let two = house.push(&mona, "mona/one", &b, None).version;
    let all = house.push(&mona, "mona/one", &index(&[a.digest, b.digest]).build(), Some("all")).version;
    let signature = image("s", &[]).subject(&a.digest).build();
    let four = house.push(&mona, "mona/one", &signature, None).version;
    let page = |before: Option<VersionId>, limit: u32| {
        house
            .read(move |tx| {
                let may = pruner(tx)?;
                Ok(tx.prune_rows(&may, before, limit)?)
            })
            .unwrap()
    };
    let short = |row: &PruneRow| (row.id, row.tags.clone(), row.part, row.wholes.clone());
    let expected = [
        (four, vec![], true, vec![one]),
        (all, vec!["all".to_owned()], false, vec![]),
        (two, vec![], true, vec![all]),
        (one, vec!["v1".to_owned(), "latest".to_owned()], false, vec![all]),
    ];
    assert_eq!(page(None, 9).iter().map(short).collect::<Vec<_>>(), expected);
    assert_eq!(page(Some(all), 1).iter().map(short).collect::<Vec<_>>(), expected[2..3]);
    let found = house
        .read(move |tx| {
            let may = pruner(tx)?;
            Ok((tx.prune_row(&may, one)?, tx.prune_row(&may, VersionId(9_999))?))
        })
        .unwrap();
    assert_eq!(found.0.as_ref().map(short), Some(expected[3].clone()));
    assert_eq!(found.1, None);
    // Of a push whose time nobody knows, nobody says one.
    house.database.run("UPDATE versions SET created_at = 0");
    assert!(page(None, 9).iter().all(|row| row.pushed_at.is_none()));
}

fn a_job_is_one_holders_until_its_time_is_over(house: &House) {
    let lease = |holder: &'static str, seconds: u32| {
        house
            .write(move |tx| {
                let may = collector(tx)?;
                Ok(tx.lease_job(&may, "sweep", holder, seconds)?)
            })
            .unwrap()
    };
    assert!(lease("one", 600));
    assert!(!lease("two", 600));
    assert!(lease("one", 600), "who has it goes on having it");
    house
        .write(|tx| {
            let may = collector(tx)?;
            // Not who does not have it.
            tx.end_job(&may, "sweep", "two")?;
            Ok(())
        })
        .unwrap();
    assert!(!lease("two", 600));
    house
        .write(|tx| {
            let may = collector(tx)?;
            Ok(tx.end_job(&may, "sweep", "one")?)
        })
        .unwrap();
    // One that ends at once is over at once.
    assert!(lease("two", 0));
    assert!(lease("one", 0));
    assert_eq!(house.number("SELECT count(*) FROM jobs WHERE ran_at IS NOT NULL"), 1);
}
