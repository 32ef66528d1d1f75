//! Packhouse, the program: configuration, transport, telemetry, command line and the wiring of it all.
//!
//! The rooms: [`config`] says what is wanted; [`transport`] and [`tls`] bring requests in; [`telemetry`] watches
//! them; [`origin`] says whose they are; [`reception`] hands them to the edges; [`lock`] and [`socket`] guard
//! the data folder and let the operator in; [`serve`] puts all of it together; [`cli`] is what people type.
//!
//! What is deliberately absent: no rule of the registry lives here. A request goes to an edge, an operator's
//! command to the service.

pub mod cli;
pub mod config;
pub mod health;
pub mod lock;
pub mod origin;
pub mod reception;
pub mod serve;
pub mod socket;
pub mod telemetry;
pub mod tls;
pub mod transport;
