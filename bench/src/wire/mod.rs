//! The generator: connections, requests, answers, and many of them at once.

pub(crate) mod answer;
pub(crate) mod client;
pub(crate) mod connection;
pub(crate) mod crowd;
pub(crate) mod gets;

pub(crate) use client::{Client, How, Trouble};
pub(crate) use connection::{Connection, Door};
pub(crate) use crowd::{Gate, Tally};
