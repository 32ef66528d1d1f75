//! What every story begins with: a registry, three people, a desk.

use std::path::Path;

use packhouse_tests::image::Parcel;
use packhouse_tests::{Caller, House, Image, Index, User};
use tempfile::TempDir;

/// A house with mona, who owns things, and hubot, a stranger; and a folder for the client's files.
pub(crate) struct Scene {
    pub(crate) house: House,
    pub(crate) mona: User,
    pub(crate) hubot: User,
    desk: TempDir,
}

impl Scene {
    #[track_caller]
    pub(crate) fn new() -> Self {
        Self::of(House::start())
    }

    /// As [`Scene::new`], in a house that was started otherwise.
    #[track_caller]
    pub(crate) fn of(house: House) -> Self {
        let (mona, hubot) = (house.user("mona"), house.user("hubot"));
        let desk = tempfile::Builder::new().prefix("packhouse-desk-").tempdir().expect("a folder");
        Self { house, mona, hubot, desk }
    }

    /// The name of an image as clients write it: `127.0.0.1:PORT/mona/app:v1`.
    pub(crate) fn name(&self, path: &str) -> String {
        format!("{}/{path}", self.house.address())
    }

    /// The folder where the client keeps its settings and files.
    pub(crate) fn desk(&self) -> &Path {
        self.desk.path()
    }

    /// mona's own look at the registry, without the client.
    pub(crate) fn mona_looks(&self) -> Caller {
        self.house.caller(&self.mona)
    }

    /// Something that was there before the client came, private as all is at first.
    #[track_caller]
    pub(crate) fn has<P: Parcel>(&self, package: &str, tag: &str, parcel: P) -> P {
        self.mona_looks().push(package, tag, &parcel);
        parcel
    }

    /// `mona/open:v1`, two platforms, for everybody.
    #[track_caller]
    pub(crate) fn has_a_public_index(&self) -> Index {
        let index = self.has("mona/open", "v1", Index::of_two_platforms());
        self.house.make_public("mona/open");
        index
    }

    /// `mona/secret:v1`, for mona alone.
    #[track_caller]
    pub(crate) fn has_a_private_image(&self) -> Image {
        self.has("mona/secret", "v1", Image::busybox())
    }
}

/// The digest in words such as `v1: digest: sha256:… size: 1234`.
#[track_caller]
pub(crate) fn digest_in(text: &str) -> String {
    let start = text.find("sha256:").unwrap_or_else(|| panic!("no digest in `{text}`"));
    text[start..].chars().take("sha256:".len() + 64).collect()
}
