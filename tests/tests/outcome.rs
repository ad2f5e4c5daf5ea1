//! What can be done with an outcome: it is shown, compared and serialized as its value, given away by its last handle,
//! and handed on by `?` if it is a `Result`.

use std::collections::HashSet;
use std::error::Error as StdError;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use oneflight::error::SharedError;
use oneflight::{Error, Group, Settled, Success};
use oneflight_conformance::{primary, waiter};

type Boxed = Box<dyn StdError + Send + Sync>;

fn settled<T>(value: T) -> Settled<u8, T> {
    match primary(Group::new().begin(1)).settle(value) {
        Ok(settled) => settled,
        Err(late) => panic!("{late}"),
    }
}

/// An error with a source, which can't be cloned.
#[derive(Debug, PartialEq)]
struct Refused(fmt::Error);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bank said no")
    }
}

impl StdError for Refused {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

const REFUSED: Refused = Refused(fmt::Error);

fn chain(error: &dyn StdError) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    texts.extend(error.source().into_iter().flat_map(chain));
    texts
}

#[test]
fn an_outcome_is_shown_compared_and_hashed_as_its_value() {
    let (seven, again, eight) = (settled(7), settled(7), settled(8));
    assert_eq!(format!("{seven} {seven:?} {seven:>3}"), "7 7   7");
    assert_eq!(seven, again);
    assert_ne!(seven, eight);
    assert_eq!(HashSet::from([seven.clone(), again, eight]).len(), 2);
    let result: Result<_, Error> = Ok(seven.clone());
    assert_eq!(result, Ok(seven));
    // What is no value of its own hides none of its methods.
    let paid: Settled<u8, Result<u32, Refused>> = settled(Ok(7));
    assert_eq!(paid.as_ref(), Ok(&7));
    assert!(paid.is_ok() && paid.as_ref().is_ok_and(|amount| *amount == 7));
}

#[test]
fn a_success_is_shown_compared_and_hashed_as_its_value() {
    let success = |value| settled(Ok::<u32, Refused>(value)).into_result().unwrap();
    let (seven, again, eight) = (success(7), success(7), success(8));
    assert_eq!(format!("{seven} {seven:?} {seven:>3}"), "7 7   7");
    assert_eq!(seven, again);
    assert_ne!(seven, eight);
    assert_eq!((*seven, *seven.key()), (7, 1));
    assert_eq!(HashSet::from([seven.clone(), again, eight]).len(), 2);
    assert!(std::ptr::eq(&*seven, &*seven.clone()));
}

#[test]
fn an_outcome_is_serialized_as_its_value() {
    #[derive(serde::Serialize)]
    struct Body {
        all: Settled<u8, Vec<u8>>,
        paid: Success<u8, u32, Refused>,
    }
    let body = Body {
        all: settled(vec![1, 2]),
        paid: settled(Ok(7)).into_result().unwrap(),
    };
    let text = serde_json::to_string(&body).unwrap();
    assert_eq!(text, r#"{"all":[1,2],"paid":7}"#);
}

#[test]
fn the_last_handle_gives_the_value_away() {
    let group: Group<Arc<str>, Arc<u32>> = Group::new();
    let (key, value) = (Arc::<str>::from("k"), Arc::new(7));
    let owner = primary(group.begin(key.clone()));
    let joined = waiter(group.begin(key.clone()));
    let settled = owner.settle(value.clone()).unwrap();
    let settled = settled.try_unwrap().unwrap_err();
    drop(joined);
    let other = settled.clone();
    let settled = settled.try_unwrap().unwrap_err();
    drop(settled);
    let given = other.try_unwrap().unwrap();
    assert!(Arc::ptr_eq(&given, &value));
    assert_eq!(Arc::strong_count(&value), 2, "a second value is somewhere");
    assert_eq!(Arc::strong_count(&key), 1, "the key is kept");
}

#[test]
fn a_retained_value_is_given_away_when_it_is_retained_no_longer() {
    let minute = Duration::from_secs(60);
    let group: Group<u8, u32> = Group::builder().retain_for(minute).build();
    let settled = primary(group.begin(1)).settle(7).unwrap();
    let settled = settled.try_unwrap().unwrap_err();
    assert!(group.forget_flight(&1, settled.flight_id()));
    assert_eq!(settled.try_unwrap().unwrap(), 7);
}

#[test]
fn a_key_that_panics_when_the_value_is_given_away_drops_the_value_too() {
    struct Key;
    impl Drop for Key {
        fn drop(&mut self) {
            oneflight_conformance::quiet_panic();
        }
    }
    impl Hash for Key {
        fn hash<H: Hasher>(&self, _: &mut H) {}
    }
    impl PartialEq for Key {
        fn eq(&self, _: &Self) -> bool {
            true
        }
    }
    impl Eq for Key {}
    let value = Arc::new(7);
    let settled = primary(Group::new().begin(Key)).settle(value.clone());
    let settled = settled.unwrap_or_else(|late| panic!("{late}"));
    let unwrapped = catch_unwind(AssertUnwindSafe(|| settled.try_unwrap().is_ok()));
    assert!(unwrapped.is_err());
    assert_eq!(Arc::strong_count(&value), 1, "the value is kept");
}

#[test]
fn a_shared_error_is_the_error() {
    let error = settled(Err::<u32, _>(REFUSED)).into_result().unwrap_err();
    assert_eq!(chain(&error), chain(&REFUSED));
    assert_eq!(format!("{error:?}"), format!("{REFUSED:?}"));
    assert_eq!(error.0, fmt::Error);
    let again = error.clone();
    assert_eq!(error, again);
    assert!(std::ptr::eq(&*error, &*again), "cloned");
    drop(error);
    // It holds the outcome, and survives everyone else.
    let boxed: Boxed = again.into();
    let found = boxed.downcast_ref::<SharedError<Refused>>();
    assert!(found.is_some_and(|found| **found == REFUSED));
}

/// As `anyhow::Error` is: no error itself, and a way to one.
#[derive(Debug)]
struct Opaque(Refused);

impl fmt::Display for Opaque {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("opaque")
    }
}

impl AsRef<dyn StdError> for Opaque {
    fn as_ref(&self) -> &(dyn StdError + 'static) {
        &self.0
    }
}

#[test]
fn every_kind_of_error_keeps_its_text_and_its_sources() {
    let cause = fmt::Error.to_string();
    let of_text = settled(Err::<u8, _>("no".to_string())).into_result();
    assert_eq!(chain(&of_text.unwrap_err()), ["no"]);
    let of_str = settled(Err::<u8, _>("no")).into_result();
    assert_eq!(chain(&of_str.unwrap_err()), ["no"]);
    let of_box = settled(Err::<u8, Boxed>(REFUSED.into())).into_result();
    assert_eq!(chain(&of_box.unwrap_err()), ["the bank said no", &*cause]);
    let of_opaque = settled(Err::<u8, _>(Opaque(REFUSED))).into_result();
    assert_eq!(chain(&of_opaque.unwrap_err()), ["opaque", &*cause]);
    // A shared error may be the error of another outcome.
    let shared = settled(Err::<u8, _>(REFUSED)).into_result().unwrap_err();
    let twice = settled(Err::<u8, _>(shared)).into_result().unwrap_err();
    assert_eq!(chain(&twice), ["the bank said no", &*cause]);
}

/// Two ways at once: the call says which.
#[derive(Debug)]
struct Both(fmt::Error);

impl fmt::Display for Both {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("both")
    }
}

impl StdError for Both {}

impl AsRef<dyn StdError> for Both {
    fn as_ref(&self) -> &(dyn StdError + 'static) {
        &self.0
    }
}

#[test]
fn an_error_that_is_one_in_two_ways_says_in_which() {
    let outcome = settled(Err::<u8, _>(Both(fmt::Error)));
    let error = outcome.into_result::<dyn StdError>().unwrap_err();
    assert_eq!(chain(&error), ["both"]);
}

/// The errors of a user: one for ours, one for what failed.
#[derive(Debug)]
enum App {
    Flight(Error),
    Bank(SharedError<Refused>),
}

impl From<Error> for App {
    fn from(error: Error) -> Self {
        App::Flight(error)
    }
}

impl From<SharedError<Refused>> for App {
    fn from(error: SharedError<Refused>) -> Self {
        App::Bank(error)
    }
}

#[test]
fn one_question_mark_for_the_call_and_one_for_the_outcome() {
    type Bank = Group<u8, Result<u32, Refused>>;
    fn own(bank: &Bank, paid: Result<u32, Refused>) -> Result<u32, App> {
        let settled = primary(bank.begin(1)).settle(paid).map_err(Error::from)?;
        Ok(*settled.into_result()?)
    }
    fn boxed(bank: &Bank, paid: Result<u32, Refused>) -> Result<u32, Boxed> {
        Ok(*primary(bank.begin(1)).settle(paid)?.into_result()?)
    }
    let bank = Bank::new();
    assert!(matches!(own(&bank, Ok(7)), Ok(7)));
    assert!(matches!(own(&bank, Err(REFUSED)), Err(App::Bank(error)) if *error == REFUSED));
    assert!(matches!(boxed(&bank, Ok(7)), Ok(7)));
    assert_eq!(
        chain(&*boxed(&bank, Err(REFUSED)).unwrap_err()),
        chain(&REFUSED)
    );
    let ended = primary(bank.begin(1));
    bank.abort(&1);
    let late = ended.settle(Ok(7)).map_err(Error::from);
    assert!(matches!(
        late.map_err(App::from),
        Err(App::Flight(Error::Aborted(_)))
    ));
}
