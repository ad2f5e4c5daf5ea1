//! Every executor of the suite, behind one trait.

mod async_std;
mod hand;
mod smol;
mod tokio;

pub use self::async_std::AsyncStd;
pub use self::hand::{Hand, HandRuntime};
pub use self::smol::{SmolGlobal, SmolLocal};
pub use self::tokio::{TokioCurrent, TokioLocal, TokioMulti};

/// The calls that an adapter brings, by its own traits.
macro_rules! through_adapter {
    ($adapter:ident, $runtime:ty) => {
        fn detach<K, T, M, F>(
            &self,
            group: &oneflight::Group<K, T>,
            key: K,
            make: M,
        ) -> oneflight::handle::Spawned<K, T>
        where
            K: std::hash::Hash + Eq + Send + Sync + 'static,
            T: Send + Sync + 'static,
            M: FnOnce() -> F + Send + 'static,
            F: Future<Output = T> + Send + 'static,
        {
            oneflight::rt::$adapter::GroupExt::spawn(group, key, make)
        }

        fn wanted<K, T, M, F>(
            &self,
            group: &oneflight::Group<K, T>,
            key: K,
            make: M,
        ) -> oneflight::handle::Spawned<K, T>
        where
            K: std::hash::Hash + Eq + Send + Sync + 'static,
            T: Send + Sync + 'static,
            M: FnOnce() -> F + Send + 'static,
            F: Future<Output = T> + Send + 'static,
        {
            oneflight::rt::$adapter::GroupExt::spawn_while_wanted(group, key, make)
        }

        fn detach_blocking<K, T, F>(
            &self,
            group: &oneflight::Group<K, T>,
            key: K,
            call: F,
        ) -> oneflight::handle::Spawned<K, T>
        where
            K: std::hash::Hash + Eq + Send + Sync + 'static,
            T: Send + Sync + 'static,
            F: FnOnce() -> T + Send + 'static,
        {
            oneflight::rt::$adapter::GroupExt::spawn_blocking(group, key, call)
        }

        fn timeout<'a, O, E, H>(
            &self,
            handle: &'a mut H,
            duration: std::time::Duration,
        ) -> oneflight::rt::Timeout<'a, H, <$runtime as oneflight::rt::Timer>::Sleep>
        where
            E: From<oneflight::Error>,
            H: Future<Output = Result<O, E>> + Unpin,
        {
            oneflight::rt::$adapter::HandleExt::wait_timeout(handle, duration)
        }
    };
}
use through_adapter;
