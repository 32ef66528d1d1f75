//! What the tests with the real program and real clients share.
//!
//! A test tells a story: it starts a [`House`] (the real binary with a fresh data folder), names people
//! ([`House::user`]), makes an image on the spot ([`Image::busybox`]), lets a real client push and pull it
//! ([`Program`]), and looks at what the registry then holds through plain HTTP ([`House::caller`]).
//!
//! ```no_run
//! use packhouse_tests::image::Parcel as _;
//! use packhouse_tests::{House, Image, Program, tool};
//!
//! let house = House::start();
//! let mona = house.user("mona");
//! let desk = tempfile::tempdir().unwrap();
//! let image = Image::busybox();
//! image.write_oci_layout(&desk.path().join("layout"), "v1");
//! Program::new(tool("skopeo"), desk.path())
//!     .args(["copy", "--dest-tls-verify=false", "oci:layout:v1"])
//!     .arg(format!("docker://{}/mona/app:v1", house.address()))
//!     .args(["--dest-creds", &mona.credentials()])
//!     .succeeds();
//! assert_eq!(house.caller(&mona).contents("mona/app", "v1"), image.contents());
//! ```
//!
//! Rules for everything here:
//!
//! - A failed expectation is the failure of the test, so helpers panic with what was run and what it said.
//! - Everything ends: each program has a deadline, each wait a limit, and what was started is ended when its
//!   owner is dropped, after a panic too. A [`Daemon`] even ends when the test process is killed.
//! - A [`House`] and a [`Daemon`] end with the thread that started them. Other threads may use them, but
//!   they must be started by the test's own thread.
//! - Nothing is shared between tests but the tools, and PostgreSQL as a server (each house has a database
//!   of its own there).
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a harness of tests: what it expects and does not find is the failure of the test"
)]

pub mod balancer;
pub mod build;
pub mod caller;
pub mod crash_wire;
pub mod cri;
pub mod daemon;
pub mod distribution;
pub mod engines;
pub mod house;
pub mod image;
pub mod operator;
pub mod program;
pub mod services;
pub mod terminal;
pub mod tools;
pub mod tunnel;
pub mod wait;

pub use build::{Artifact, Index};
pub use caller::{Answer, Caller, Contents};
pub use daemon::Daemon;
pub use distribution::Distribution;
pub use house::{Catalog, House, HouseBuilder, Store};
pub use image::{Blob, Image};
pub use operator::User;
pub use program::{Finished, Program};
pub use tools::tool;
pub use wait::until;
