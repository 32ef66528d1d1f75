//! Plans: limits with a name, each written as one line, `NAME LIMIT=SIZE …`.

use packhouse_service::Limits;

/// Plans that are there without being written down.
const BUILT_IN: [(&str, Limits); 2] = [
    (UNLIMITED, Limits { storage: None, private_storage: None, transfer: None, private_transfer: None }),
    (
        "github-free",
        Limits {
            storage: None,
            private_storage: Some(500_000_000),
            transfer: None,
            private_transfer: Some(1_000_000_000),
        },
    ),
];
const UNLIMITED: &str = "unlimited";
const PLANS_MAX: usize = 64;
const NAME_BYTES_MAX: usize = 64;

/// The plans that are written down, and those that are there anyway.
pub(super) fn plans(items: &[String]) -> Result<Vec<(String, Limits)>, String> {
    let mut plans: Vec<(String, Limits)> = Vec::new();
    for item in items.iter().map(|item| item.trim()).filter(|item| !item.is_empty()) {
        let plan = plan(item)?;
        if plans.iter().any(|(name, _)| *name == plan.0) {
            return Err(format!("`{}` is there twice", plan.0));
        }
        plans.push(plan);
    }
    if plans.len() > PLANS_MAX {
        return Err(format!("it has {} entries", plans.len()));
    }
    for (name, limits) in BUILT_IN {
        if !plans.iter().any(|(known, _)| known == name) {
            plans.push((name.to_owned(), limits));
        }
    }
    Ok(plans)
}

/// A plan as `config check` shows it.
pub(super) fn shown(plans: &[(String, Limits)]) -> String {
    let written = plans
        .iter()
        .filter(|plan| !BUILT_IN.iter().any(|(name, limits)| (*name, *limits) == (plan.0.as_str(), plan.1)));
    let lines: Vec<String> = written
        .map(|(name, limits)| {
            let all = [
                ("storage", limits.storage),
                ("private_storage", limits.private_storage),
                ("transfer", limits.transfer),
                ("private_transfer", limits.private_transfer),
            ];
            let limits = all.iter().filter_map(|(word, bytes)| bytes.map(|bytes| format!(" {word}={bytes}")));
            name.clone() + &limits.collect::<String>()
        })
        .collect();
    lines.join(",")
}

fn plan(text: &str) -> Result<(String, Limits), String> {
    let mut words = text.split_whitespace();
    let name = words.next().unwrap_or_default();
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.len() > NAME_BYTES_MAX || !name.chars().all(good) {
        return Err(format!("`{name}` is not a name for a plan"));
    }
    let mut limits = Limits::default();
    for word in words {
        let (limit, bytes) = word.split_once('=').ok_or_else(|| format!("`{word}` is not `LIMIT=SIZE`"))?;
        let place = match limit {
            "storage" => &mut limits.storage,
            "private_storage" => &mut limits.private_storage,
            "transfer" => &mut limits.transfer,
            "private_transfer" => &mut limits.private_transfer,
            _ => return Err(format!("`{limit}` is not a limit")),
        };
        if place.replace(size(bytes)?).is_some() {
            return Err(format!("`{limit}` is there twice in `{name}`"));
        }
    }
    Ok((name.to_owned(), limits))
}

/// Bytes: a whole number with one of `B kB MB GB TB PB` (powers of ten) or `KiB MiB GiB TiB PiB` (powers of two), or none.
fn size(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 13] = [
        ("", 1),
        ("B", 1),
        ("kB", 1_000),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("PB", 1_000_000_000_000_000),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("PiB", 1 << 50),
    ];
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let size = number.parse::<u64>().ok().and_then(|number| {
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit)?;
        number.checked_mul(*unit).filter(|bytes| i64::try_from(*bytes).is_ok())
    });
    size.ok_or_else(|| format!("`{text}` is not a size, such as `500MB` or `2TiB`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(String, Limits), String> {
        plan(text)
    }

    #[test]
    fn a_plan_is_a_name_and_limits() {
        let (name, limits) =
            parse("team storage=100GB  private_storage=2GiB transfer=1TB private_transfer=0").unwrap();
        assert_eq!(name, "team");
        let expected = Limits {
            storage: Some(100_000_000_000),
            private_storage: Some(2 << 30),
            transfer: Some(1_000_000_000_000),
            private_transfer: Some(0),
        };
        assert_eq!(limits, expected);
        assert_eq!(parse("open").unwrap().1, Limits::default());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, said) in [
            ("Team", "`Team` is not a name"),
            ("team storage", "`storage` is not `LIMIT=SIZE`"),
            ("team disk=1GB", "`disk` is not a limit"),
            ("team storage=1XB", "`1XB` is not a size"),
            ("team storage=GB", "`GB` is not a size"),
            ("team storage=-1", "`-1` is not a size"),
            ("team storage=99999999PB", "is not a size"),
            ("team storage=1 storage=2", "`storage` is there twice"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
        let twice = plans(&["a storage=1".to_owned(), "a".to_owned()]).unwrap_err();
        assert!(twice.contains("twice"), "{twice}");
    }

    #[test]
    fn two_plans_are_always_there_and_can_be_written_anew() {
        let names = |items: &[&str]| {
            let items: Vec<String> = items.iter().map(|item| (*item).to_owned()).collect();
            plans(&items).unwrap().into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(names(&[]), ["unlimited", "github-free"]);
        assert_eq!(names(&["github-free private_storage=1GB"]), ["github-free", "unlimited"]);
        assert_eq!(shown(&plans(&[]).unwrap()), "");
        assert_eq!(shown(&plans(&["a storage=1kB".to_owned()]).unwrap()), "a storage=1000");
    }
}
