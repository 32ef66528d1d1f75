//! Sessions that this process began and that no request has had in its hands since.
//!
//! Most uploads are a POST and one PUT behind it. What the PUT would read from the database first is what the POST wrote,
//! so it is kept here, once: who takes the claim of a session takes it out, whatever becomes of the request, and the
//! database is asked from then on. A session's row is changed by who has its claim and by nobody else, so what is still
//! here is what the row says. Who may do what is judged anew each time.
//!
//! Only where one process has the store. Elsewhere a session is leased, which reads it.

use packhouse_catalog::BegunUpload;
use std::collections::HashMap;
use std::mem::take;
use std::sync::{Arc, Mutex, PoisonError};

/// Sessions of one generation; two are kept, so that those which no client comes back to are forgotten.
const GENERATION: usize = 2_048;

/// The sessions, by their identifiers. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Begun(Arc<Mutex<Generations>>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<String, BegunUpload>,
    old: HashMap<String, BegunUpload>,
}

impl Begun {
    /// Keeps a session whose row is committed.
    pub(crate) fn keep(&self, begun: BegunUpload) {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if generations.young.len() >= GENERATION {
            generations.old = take(&mut generations.young);
        }
        generations.young.insert(begun.id().to_owned(), begun);
    }

    /// Takes a session out; only who has its claim may ask.
    pub(crate) fn take(&self, id: &str) -> Option<BegunUpload> {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Generations { young, old } = &mut *generations;
        young.remove(id).or_else(|| old.remove(id))
    }
}
