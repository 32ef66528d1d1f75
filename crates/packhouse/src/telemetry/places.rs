//! Something for each route and method, found without a lock.

use std::fmt;
use std::sync::OnceLock;

/// Routes times methods, with room to spare: there are about two hundred.
const SLOTS: usize = 1024;

/// A table that is only added to. Routes are told apart by where their name lies, not by its letters: the same name may
/// have two entries then, which does no harm.
pub(super) struct Places<T>(Box<[OnceLock<Entry<T>>]>);

struct Entry<T> {
    route: &'static str,
    method: &'static str,
    value: T,
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Self((0..SLOTS).map(|_| OnceLock::new()).collect())
    }
}

impl<T> fmt::Debug for Places<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Places").finish_non_exhaustive()
    }
}

impl<T> Places<T> {
    /// Runs with what is there for a route and method; if nothing is, with what `make` gives, which stays.
    pub(super) fn with<R>(
        &self,
        route: &'static str,
        method: &'static str,
        make: impl Fn() -> T,
        act: impl FnOnce(&T) -> R,
    ) -> R {
        let is_it = |entry: &Entry<T>| std::ptr::eq(entry.route, route) && std::ptr::eq(entry.method, method);
        let first = slot(route, method);
        for at in 0..SLOTS {
            let slot = &self.0[(first + at) % SLOTS];
            // Somebody else may have taken the slot just now, for another route: then the next one.
            let entry = slot.get_or_init(|| Entry { route, method, value: make() });
            if is_it(entry) {
                return act(&entry.value);
            }
        }
        // Full: it works all the same.
        act(&make())
    }
}

/// Where to begin to look.
fn slot(route: &'static str, method: &'static str) -> usize {
    let mixed = (route.as_ptr().addr() ^ method.as_ptr().addr().rotate_left(17))
        .wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as usize);
    mixed >> (usize::BITS - SLOTS.ilog2())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_route_and_method_has_its_own_and_keeps_it() {
        let names: Vec<&'static str> = (0..60).map(|n| &*format!("route{n}").leak()).collect();
        let places: Places<String> = Places::default();
        for _ in 0..2 {
            for route in &names {
                for method in &names[..20] {
                    let wanted = format!("{route} {method}");
                    let found = places.with(route, method, || wanted.clone(), String::clone);
                    assert_eq!(found, wanted);
                }
            }
        }
        // More than there is room for; the first ones are not made again.
        let made = places.with(names[0], names[0], || unreachable!(), String::clone);
        assert_eq!(made, "route0 route0");
    }
}
