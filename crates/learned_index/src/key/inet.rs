//! Codes of `inet` and `cidr` with IPv4 addresses.
//!
//! `network_cmp_internal` of PostgreSQL's network.c compares what the shorter of two netmasks
//! covers of both addresses, then the lengths of the masks, then the addresses. That is the order
//! of (network, length, host). Between a network and the next one there is room for all hosts of
//! all longer masks: lengths 1 to 32 need 2^32 - 1 places behind each number that a network can
//! begin with. The 2^32 addresses with the mask of length 0 stand before all of that, so that the
//! codes are exactly the numbers of 64 bits. Addresses of one length are multiples of 2^32 - 1
//! apart, and as dense as integers.

use super::Word;

/// An IPv4 address, and the length of its netmask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4 {
    /// Its first byte is the highest.
    pub address: u32,
    /// 0 to 32 bits.
    pub length: u8,
}

/// The most bits of a netmask.
pub const BITS: u8 = 32;

/// The addresses with the mask of length 0.
const WITHOUT_MASK: Word = 1 << BITS;
/// Places for each number of a network.
const PLACES: Word = (1 << BITS) - 1;

/// The code of an address.
#[inline]
pub const fn from_ipv4(value: Ipv4) -> Word {
    let Ipv4 { address, length } = value;
    match length {
        0 => address as Word,
        _ => {
            let length = if length > BITS { BITS } else { length };
            let hosts = hosts_of(length);
            let host = address as Word % hosts;
            let network = address as Word - host;
            // Shorter masks, from that of length 1 on, have this many hosts.
            let shorter = (1 << BITS) - 2 * hosts;
            WITHOUT_MASK + network * PLACES + shorter + host
        }
    }
}

/// The address of a code made by [`from_ipv4`].
#[inline]
pub const fn to_ipv4(code: Word) -> Ipv4 {
    if code < WITHOUT_MASK {
        return Ipv4 { address: code as u32, length: 0 };
    }
    let (network, place) = ((code - WITHOUT_MASK) / PLACES, (code - WITHOUT_MASK) % PLACES);
    // Of a network of `hosts` addresses these are `hosts + 1` to `2 * hosts`.
    let left = (1 << BITS) - place;
    let length = BITS - (left - 1).ilog2() as u8;
    let host = 2 * hosts_of(length) - left;
    Ipv4 { address: (network + host) as u32, length }
}

/// How many addresses a network has.
const fn hosts_of(length: u8) -> Word {
    1 << (BITS - length)
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use proptest::prelude::*;

    use super::*;

    /// PostgreSQL's network_cmp_internal: `bitncmp` over the bits of the shorter mask, and so on.
    fn sql_cmp(a: Ipv4, b: Ipv4) -> Ordering {
        let bits = a.length.min(b.length);
        let first = |value: Ipv4| u64::from(value.address) >> (BITS - bits);
        first(a).cmp(&first(b)).then(a.length.cmp(&b.length)).then(a.address.cmp(&b.address))
    }

    /// Few bits are set, so that networks contain each other.
    fn address() -> impl Strategy<Value = Ipv4> {
        let sparse = (0..BITS, 0..BITS).prop_map(|(a, b)| 1u32 << a | 1 << b);
        let addresses = prop_oneof![any::<u32>(), sparse.clone(), sparse.prop_map(|bits| !bits)];
        let lengths = prop_oneof![0..=BITS, Just(BITS)];
        (addresses, lengths).prop_map(|(address, length)| Ipv4 { address, length })
    }

    #[test]
    fn the_first_and_the_last_address_have_the_first_and_the_last_code() {
        assert_eq!(from_ipv4(Ipv4 { address: 0, length: 0 }), Word::MIN);
        assert_eq!(from_ipv4(Ipv4 { address: u32::MAX, length: BITS }), Word::MAX);
    }

    #[test]
    fn whole_addresses_are_evenly_spread() {
        let codes = [10, 11, 12].map(|address| from_ipv4(Ipv4 { address, length: BITS }));
        assert_eq!(codes[1] - codes[0], codes[2] - codes[1]);
    }

    proptest! {
        #[test]
        fn addresses_keep_their_order_and_value(a in address(), b in address()) {
            prop_assert_eq!(from_ipv4(a).cmp(&from_ipv4(b)), sql_cmp(a, b));
            prop_assert_eq!(to_ipv4(from_ipv4(a)), a);
        }

        #[test]
        fn any_code_is_read(code: Word) {
            prop_assert!(to_ipv4(code).length <= BITS);
        }
    }
}
