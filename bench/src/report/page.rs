//! Puts the result between two marks of a page, so that the prose around it stays.

use std::path::Path;

use anyhow::Context as _;

const BEGIN: &str = "<!-- results: begin -->\n";
const END: &str = "<!-- results: end -->";

pub(super) fn put(file: &Path, text: &str) -> anyhow::Result<()> {
    let page = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let page =
        between(&page, text).with_context(|| format!("{} has no marks for results", file.display()))?;
    std::fs::write(file, page).with_context(|| format!("cannot write {}", file.display()))
}

fn between(page: &str, text: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{}\n\n{END}{after}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::between;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let page = "# A\n<!-- results: begin -->\nold\n<!-- results: end -->\nB\n";
        let expected = "# A\n<!-- results: begin -->\n\nnew\n\n<!-- results: end -->\nB\n";
        assert_eq!(between(page, "new\n").as_deref(), Some(expected));
        assert_eq!(between("# A\n", "new"), None);
    }
}
