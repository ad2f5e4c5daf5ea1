//! Odd but honest input: empty and huge keys, values without a size, values of a megabyte, any number of shards.

mod support;

use std::fmt::Debug;
use std::hash::Hash;

use oneflight_core::{Group, SettleCell};
use support::{assert_idle, poll_idly, primary, waiter};

const MEBI: usize = 1 << 20;

/// Begin, join, settle, join again, work, abort, forget: the whole life of a key.
fn lives<K: Hash + Eq + Clone + Debug + Send + Sync + 'static>(group: &Group<K, u32>, key: K) {
    let owner = primary(group, key.clone());
    let mut waiting = waiter(group, key.clone());
    assert_eq!((owner.key(), waiting.key()), (&key, &key));
    assert!(group.contains(&key));
    assert_eq!(group.waiters(&key), 1);
    assert!(poll_idly(&mut waiting).is_pending());
    let settled = owner.settle(7).expect("first");
    assert_eq!((settled.key(), *settled), (&key, 7));
    assert!(poll_idly(&mut waiting).is_ready());

    let mut work = group.work(key.clone(), || async { 8 });
    assert!(poll_idly(&mut work).is_ready());

    let lost = primary(group, key.clone());
    let waiting = waiter(group, key.clone());
    lost.abort();
    assert!(waiting.get().expect("ended").is_err());

    let old = primary(group, key.clone());
    assert!(group.forget(&key));
    assert!(!group.forget(&key));
    let new = primary(group, key.clone());
    assert!(new.id() > old.id());
    drop((old, new));
    assert_idle(group);
}

#[test]
fn empty_and_huge_and_odd_texts_are_keys() {
    let group = Group::new();
    for key in [
        "",
        "\0",
        "\u{feff}",
        "a\nb",
        "💳",
        "😀".repeat(MEBI / 4).as_str(),
    ] {
        lives(&group, key.to_string());
    }
    let huge = "k".repeat(MEBI);
    let almost = format!("{}x", &huge[1..]);
    let owners = (primary(&group, huge), primary(&group, almost));
    assert_eq!(group.len(), 2);
    drop(owners);
    assert_idle(&group);
}

#[test]
fn a_borrowed_text_finds_its_owned_key() {
    let group: Group<String, u32> = Group::new();
    let huge = "k".repeat(MEBI);
    for key in ["", "\0", huge.as_str()] {
        let begun = group.entry_ref(key).begin();
        assert!(group.contains(key));
        assert!(matches!(
            group.entry_ref(key).begin(),
            oneflight_core::Begin::Waiter(_)
        ));
        drop(begun);
        assert!(!group.contains(key));
    }
    assert_idle(&group);
}

#[test]
fn bytes_with_nuls_are_keys_and_prefixes_differ() {
    let group = Group::new();
    for key in [
        vec![],
        vec![0],
        vec![0; 2],
        vec![0; MEBI],
        vec![255, 0, 254],
    ] {
        lives(&group, key);
    }
    let owners: Vec<_> = (0..20)
        .map(|zeros| primary(&group, vec![0; zeros]))
        .collect();
    assert_eq!(group.len(), 20);
    drop(owners);
    assert_idle(&group);
}

#[test]
fn a_key_without_content_makes_one_flight() {
    lives(&Group::new(), ());
    lives(&Group::new(), [0u8; 0]);
    lives(&Group::new(), None::<std::convert::Infallible>);
    lives(&Group::new(), (u128::MAX, i8::MIN, 'x', [[true; 3]; 2]));
}

#[test]
fn a_value_without_a_size_is_settled_and_shared() {
    #[derive(Debug, PartialEq)]
    struct Done;
    let group: Group<(), Done> = Group::new();
    let owner = primary(&group, ());
    let mut waiting = waiter(&group, ());
    assert!(poll_idly(&mut waiting).is_pending());
    owner.settle(Done).expect("first");
    assert_eq!(*waiting.get().expect("ended").expect("settled"), Done);
    assert!(poll_idly(&mut group.work((), || async { Done })).is_ready());
    assert_idle(&group);

    let cell = SettleCell::new();
    assert_eq!(cell.get(), None);
    cell.settle(()).expect("first");
    assert!(cell.settle(()).is_err());
    assert_eq!(cell.into_inner(), Some(()));
}

#[test]
fn a_megabyte_by_value_is_settled_in_place_and_shared() {
    // Unoptimised, each call that it is handed through has a copy of it on the stack.
    let thread = std::thread::Builder::new().stack_size(64 * MEBI);
    let test = thread.spawn(|| {
        let group: Group<u8, [u8; MEBI]> = Group::new();
        let owner = primary(&group, 1);
        let waiting = waiter(&group, 1);
        let settled = owner.settle([42; MEBI]).expect("first");
        let shared = waiting.get().expect("ended").expect("settled");
        assert!(std::ptr::eq(&*settled, &*shared));
        assert_eq!((shared[0], shared[MEBI - 1]), (42, 42));
        assert_idle(&group);
    });
    test.expect("a thread").join().expect("the test passes");
}

#[test]
fn an_overaligned_key_and_value_keep_their_alignment() {
    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    #[repr(align(256))]
    struct Aligned(u8);
    let group: Group<Aligned, Aligned> = Group::new();
    let settled = primary(&group, Aligned(1))
        .settle(Aligned(2))
        .expect("first");
    let address = |aligned: &Aligned| std::ptr::from_ref(aligned).addr();
    assert_eq!(
        (address(&settled) % 256, address(settled.key()) % 256),
        (0, 0)
    );
    assert_eq!((&*settled, settled.key()), (&Aligned(2), &Aligned(1)));
    assert_idle(&group);
}

#[test]
fn any_number_of_shards_makes_a_group() {
    for shards in [
        0,
        1,
        2,
        3,
        63,
        64,
        65,
        4_095,
        4_097,
        usize::MAX - 1,
        usize::MAX,
    ] {
        let group: Group<String, u32> = Group::<String, u32>::builder().shards(shards).build();
        lives(&group, String::new());
        let owners: Vec<_> = (0..300).map(|id| primary(&group, id.to_string())).collect();
        assert_eq!(group.len(), 300, "{shards} shards");
        let mut ids: Vec<_> = owners.iter().map(|owner| owner.id()).collect();
        ids.sort_unstable();
        assert!(
            ids.windows(2).all(|pair| pair[0] < pair[1]),
            "ids never repeat"
        );
        drop(owners);
        assert_idle(&group);
    }
}

#[test]
fn a_hasher_that_always_says_the_same_makes_a_slow_group_and_no_wrong_one() {
    #[derive(Clone, Default)]
    struct Constant<const HASH: u64>;
    impl<const HASH: u64> std::hash::Hasher for Constant<HASH> {
        fn finish(&self) -> u64 {
            HASH
        }
        fn write(&mut self, _: &[u8]) {}
    }
    impl<const HASH: u64> std::hash::BuildHasher for Constant<HASH> {
        type Hasher = Self;
        fn build_hasher(&self) -> Self {
            Self
        }
    }
    fn check<const HASH: u64>() {
        let group: Group<u32, u32, Constant<HASH>> = Group::default();
        let owners: Vec<_> = (0..40).map(|id| primary(&group, id)).collect();
        assert_eq!((0..40).map(|id| group.waiters(&id)).sum::<usize>(), 0);
        assert!((0..40).all(|id| group.contains(&id)));
        drop(owners);
        assert_idle(&group);
    }
    check::<0>();
    check::<{ u64::MAX }>();
    check::<{ 1 << 63 }>();
}
