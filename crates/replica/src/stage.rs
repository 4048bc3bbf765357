//! Where commands are executed.
//!
//! Consensus and sessions share one thread. What may take long, applying and reading, is carried out on a *stage*: in
//! the server outside of the event loop, so that another thread can keep consensus running meanwhile (R20).

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

/// What is to be carried out.
pub type Work = Box<dyn FnOnce()>;

/// See the module.
pub trait Stage {
    /// Carries out `work` on this thread, while nothing else of this thread runs; resolves when it is done.
    fn run(&self, work: Work) -> Pin<Box<dyn Future<Output = ()> + '_>>;
}

/// Carries everything out at once, within the event loop: for the simulator, where computing takes no time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inline;

impl Stage for Inline {
    fn run(&self, work: Work) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        work();
        Box::pin(std::future::ready(()))
    }
}

/// Carries out `f` on `stage`; its result.
pub async fn on_stage<T: 'static>(stage: &dyn Stage, f: impl FnOnce() -> T + 'static) -> T {
    let result = Rc::new(RefCell::new(None));
    let place = result.clone();
    stage.run(Box::new(move || *place.borrow_mut() = Some(f()))).await;
    result.take().expect("a stage carries everything out")
}
