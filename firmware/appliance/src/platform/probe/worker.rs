//! A thread with a loop of its own, for checks that compute much. It begins with the first of them and ends with the
//! process.

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use tokio::runtime::{Builder, Handle};

/// Begins when it is needed.
#[derive(Clone, Debug, Default)]
pub(super) struct Worker(Arc<Mutex<Option<Handle>>>);

impl Worker {
    /// Runs a task there.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = &*place {
            handle.spawn(task);
            return Ok(());
        }
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        // The stack of a handshake is small, but the standard library's default is only reserved, not used.
        thread::Builder::new()
            .name("checks".to_owned())
            .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
        handle.spawn(task);
        *place = Some(handle);
        Ok(())
    }
}
