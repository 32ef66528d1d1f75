//! GitHub's opaque `node_id`: the base64 of the type's length, its name and the number.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// `MDQ6VXNlcjE=` for `User` 1.
pub(crate) fn node_id(kind: &str, id: i64) -> String {
    STANDARD.encode(format!("{:02}:{kind}{id}", kind.len()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn as_github_shows_the_first_user() {
        // github.com's user `mojombo` has id 1 and this node id.
        assert_eq!(super::node_id("User", 1), "MDQ6VXNlcjE=");
    }
}
