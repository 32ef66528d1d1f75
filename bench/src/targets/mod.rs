//! What is measured: the registries, nginx as the limit, and whatever a URL names.

mod daemon;
mod list;
mod meter;
mod service;
mod tls;

pub(crate) use list::{Kind, LARGE, SMALL, SMALL_AGAIN, TARGETS, listed};
pub(crate) use meter::Meter;
pub(crate) use service::{Kit, NAMESPACE, Service, UrlTarget};
