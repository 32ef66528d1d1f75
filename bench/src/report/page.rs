//! Puts a result between two marks of a page, so that the prose around it and other results stay.

use std::path::Path;

use anyhow::Context as _;

pub(super) fn put(file: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let page = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let page =
        between(&page, name, text).with_context(|| format!("{} has no marks for {name}", file.display()))?;
    std::fs::write(file, page).with_context(|| format!("cannot write {}", file.display()))
}

fn between(page: &str, name: &str, text: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
    let (before, rest) = page.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{}\n\n{end}{after}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::between;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let page = "# A\n<!-- results: begin -->\nold\n<!-- results: end -->\nB\n";
        let expected = "# A\n<!-- results: begin -->\n\nnew\n\n<!-- results: end -->\nB\n";
        assert_eq!(between(page, "results", "new\n").as_deref(), Some(expected));
        assert_eq!(between(page, "growth", "new"), None);
    }
}
