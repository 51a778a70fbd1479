//! The texts of `/proc`, parsed without I/O.

/// User and system clock ticks of `/proc/PID/stat` (fields 14 and 15 of proc(5)). The command name may hold anything.
pub(crate) fn stat_ticks(text: &str) -> Option<(u64, u64)> {
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Nanoseconds on a processor: the first field of `schedstat`.
pub(crate) fn schedstat_nanos(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

/// Nanoseconds ready to run while others ran: the second field of `schedstat`.
pub(crate) fn schedstat_wait_nanos(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// The number after `key:` in a file of such lines (`status`, `smaps_rollup`, `meminfo`); units are left out.
pub(crate) fn field(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// All ticks and stolen ticks of the first line of `/proc/stat`.
pub(crate) fn total_and_steal(text: &str) -> Option<(u64, u64)> {
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line.split_ascii_whitespace().map_while(|field| field.parse().ok()).collect();
    // The guest fields (9 and 10) are counted in user and nice already.
    Some((ticks.iter().take(8).sum(), *ticks.get(7)?))
}

/// The first value of a `key : value` line of `/proc/cpuinfo`.
pub(crate) fn cpuinfo<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stat_with_a_hostile_name() {
        let text = "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 111 222 0 0 20 0 3 0 99";
        assert_eq!(stat_ticks(text), Some((111, 222)));
        assert_eq!(stat_ticks("42 (a"), None);
    }

    #[test]
    fn fields_are_found_whole() {
        let text = "VmHWMx:\t1 kB\nVmHWM:\t   5120 kB\nvoluntary_ctxt_switches:\t7\n";
        assert_eq!(field(text, "VmHWM"), Some(5120));
        assert_eq!(field(text, "voluntary_ctxt_switches"), Some(7));
        assert_eq!(field(text, "Vm"), None);
    }

    #[test]
    fn steal_is_the_eighth() {
        let text = "cpu  10 20 30 40 50 60 70 80 90 100\ncpu0 1 2";
        assert_eq!(total_and_steal(text), Some((360, 80)));
    }

    #[test]
    fn model_name() {
        assert_eq!(cpuinfo("processor\t: 0\nmodel name\t: Xeon: fast\n", "model name"), Some("Xeon: fast"));
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text: String) {
            let _ = (stat_ticks(&text), schedstat_nanos(&text), schedstat_wait_nanos(&text), field(&text, "Vm"), total_and_steal(&text));
        }
    }
}
