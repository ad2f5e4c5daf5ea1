//! Guide: which policy for which operation.
//!
//! The question that decides is: *when the caller that runs the operation goes away, what should
//! become of it?* It goes away more often than one thinks: a client hangs up, a `select!` takes
//! another arm, a deadline passes, a task is aborted.
//!
//! | the operation | wants | call | a lost caller means |
//! |---|---|---|---|
//! | a read, harmless to repeat | to be cheap | [`try_work`] | another caller runs its own |
//! | a costly call, say a model | to stop with its last caller | `spawn_while_wanted` | nothing |
//! | the same, without a runtime | never to be paid twice | [`work`] | another caller continues |
//! | an effect: a payment | to finish | `spawn`, [`retain_ok_for`], [`Fingerprint`] | nothing |
//! | a blocking call: a driver | one thread, and none for duplicates | `spawn_blocking` | nothing |
//! | your own control flow | a guard | [`begin`], [`Primary`] | waiters get [`Aborted`] |
//! | one resource: an agent, a device | a turn | [`Gate`] | the next one is let in |
//!
//! [`work`]: crate::Group::work
//! [`try_work`]: crate::Group::try_work
//! [`begin`]: crate::Group::begin
//! [`retain_ok_for`]: crate::GroupBuilder::retain_ok_for
//! [`Fingerprint`]: crate::Fingerprint
//! [`Primary`]: crate::Primary
//! [`Aborted`]: crate::error::Aborted
//! [`Gate`]: crate::gate::Gate
//!
//! # An idempotent read
//!
//! With `try_work` a success is shared, and an error is its own caller's: the next caller runs its
//! own operation. Set [`max_reruns`](crate::GroupBuilder::max_reruns) if a read can take long to
//! fail. Without it N callers try one after the other.
//!
//! ```
//! use oneflight_core::Group;
//! # futures_lite::future::block_on(async {
//! let group: Group<u64, String> = Group::builder().max_reruns(2).build();
//! let path = String::from("Cargo.toml");
//! // The operation stays in this future, so it can borrow.
//! let file = group.try_work(7, || async { std::fs::read_to_string(&path) });
//! assert!(file.await.is_ok());
//! # });
//! ```
//!
//! If the callers have deadlines, use `work` or an adapter's `spawn_while_wanted`. A caller of
//! `try_work` that gives up while it drives throws its operation away, and the next caller begins
//! again. With `max_reruns`, a patient caller can then get
//! [`Cause::Exhausted`](crate::error::Cause::Exhausted) because impatient ones have left.
//!
//! # A costly model call
//!
//! `spawn_while_wanted` never restarts: ten callers that give up one after the other cost one call,
//! and if an eleventh still wants the answer, it gets it. The operation is a task of the runtime,
//! so no caller can stall it, and it runs in no caller's context. When the last caller is dropped,
//! the task drops the operation, which cancels the request. A `spawn` of the same key that joins
//! makes it run to its end. To stop it early, use its [`AbortHandle`](crate::handle::AbortHandle),
//! or [`Group::abort`](crate::Group::abort).
//!
//! To let the operation linger, for a caller that comes back soon, keep one more waiter of it in a
//! task that sleeps: the operation is wanted until that task drops the waiter.
//!
//! ```
//! use core::time::Duration;
//! use oneflight_core::rt::{Spawn, Timer};
//! use oneflight_core::{Group, handle::Spawned};
//!
//! fn ask<R: Spawn + Timer>(
//!     group: &Group<String, Result<String, String>>,
//!     runtime: &R,
//!     prompt: &str,
//! ) -> Spawned<String, Result<String, String>>
//! where
//!     R::Sleep: 'static,
//! {
//!     let question = prompt.to_string();
//!     let call = group.entry_ref(prompt).spawn_while_wanted_on(runtime, || model(question));
//!     if let Ok(Some(waiter)) = group.join(prompt) {
//!         let sleep = runtime.sleep(Duration::from_secs(10));
//!         runtime.spawn(async move {
//!             sleep.await;
//!             drop(waiter);
//!         });
//!     }
//!     call
//! }
//! # async fn model(_: String) -> Result<String, String> { Ok("42".into()) }
//! ```
//!
//! `work` needs no runtime: the operation is polled by the caller that drives, another caller
//! continues it if that one is dropped, and the last one that leaves drops it. A driver that is
//! kept but not polled stalls the others.
//!
//! ```
//! use oneflight_core::Group;
//! # async fn model(_: &str) -> Result<String, String> { Ok("42".into()) }
//! # futures_lite::future::block_on(async {
//! let group: Group<String, Result<String, String>> = Group::new();
//! let answer = group.work("prompt-hash".to_string(), || model("6 * 7?"));
//! assert_eq!(*answer.await.unwrap(), Ok("42".to_string()));
//! # });
//! ```
//!
//! # A payment
//!
//! Four things belong together:
//! 1. **The key is the client's idempotency token.** The client makes it once and sends it with
//!    each retry.
//! 2. **`spawn`**, so that a dropped caller cannot stop the operation halfway.
//! 3. **A [`Fingerprint`](crate::Fingerprint) of the payload**, so that a token used twice by
//!    mistake is rejected and not answered with another payment's receipt.
//! 4. **A replay window** for what is final: a retry that comes after the answer gets the same
//!    answer. A failure that can be tried again is not retained. At most 65,536 outcomes are
//!    retained, unless you choose another number with
//!    [`max_retained`](crate::GroupBuilder::max_retained). Choose one well above what settles in
//!    one window, because a retry whose outcome was given up early runs the charge again. Watch
//!    [`Stats::given_up`](crate::Stats::given_up).
//!
//! And a fifth that no library can give you: the effect itself must be idempotent, or check the
//! token, because a process that dies takes its flights with it. Pass the token on to the bank.
//!
//! ```
//! use core::time::Duration;
//! use oneflight_core::error::Rejected;
//! use oneflight_core::{Begin, Fingerprint, Group};
//!
//! type Charge = Result<u64, String>;
//! let group: Group<String, Charge> = Group::builder()
//!     .retain_ok_for(Duration::from_secs(24 * 60 * 60))
//!     .max_retained(1_000_000)
//!     .max_waiters(1_000)
//!     .build();
//! let ten = Fingerprint::of_bytes(br#"{"amount":10}"#);
//! let call = |payload| group.entry_ref("token-1").fingerprint(payload);
//! let Begin::Primary(charge) = call(ten).begin() else { unreachable!() };
//! charge.settle(Ok(1999)).unwrap();
//!
//! let Begin::Waiter(late) = call(ten).begin() else { unreachable!() };
//! assert_eq!(*late.get().unwrap().unwrap(), Ok(1999));
//! let twenty = Fingerprint::of_bytes(br#"{"amount":20}"#);
//! assert!(matches!(
//!     call(twenty).begin(),
//!     Begin::Rejected(Rejected::Mismatch)
//! ));
//! ```
//!
//! # Stopping a service
//!
//! ```
//! use oneflight_core::{Begin, Group};
//! # futures_lite::future::block_on(async {
//! let group: Group<&str, u32> = Group::new();
//! # let Begin::Primary(running) = group.begin("k") else { unreachable!() };
//! group.close(); // Nothing new begins; duplicates of what runs still join.
//! # running.settle(1).unwrap();
//! // Race this against your deadline, and call `abort_all` if the deadline comes first. Then it
//! // still waits for what cannot be stopped: a guard that is held, a blocking call that runs.
//! group.drained().await;
//! # });
//! ```
//!
//! # What can wait for itself
//!
//! An operation that waits for its own key waits for itself. With `std`, such a wait fails with
//! [`Rejected::Reentrant`](crate::error::Rejected::Reentrant) where it is certain: in one chain of
//! polls on one thread, also through the operations of other keys, and when a thread is about to
//! park inside of the operation. Not detected: a wait through `join_all`, a task that the operation
//! spawned, or another thread, and an operation that a caller runs by hand between
//! [`begin`](crate::Group::begin) and [`settle`](crate::Primary::settle). Two operations that wait
//! for each other's keys in two tasks wait forever, as two locks would.
