//! TCP sockets by state, from /proc/net/tcp and /proc/net/tcp6. Pure.

/// How many sockets are in which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct States {
    pub(super) established: i64,
    pub(super) listen: i64,
    pub(super) time_wait: i64,
    pub(super) close_wait: i64,
    /// Being opened, or being closed.
    pub(super) other: i64,
}

impl States {
    /// Adds those of one file: a head line, then `sl local_address rem_address st ...`. `None` when a line is no such line.
    pub(super) fn and(mut self, text: &str) -> Option<States> {
        for line in text.lines().skip(1) {
            // Numbers of include/net/tcp_states.h.
            let counted = match line.split_ascii_whitespace().nth(3)? {
                "01" => &mut self.established,
                "0A" => &mut self.listen,
                "06" => &mut self.time_wait,
                "08" => &mut self.close_wait,
                state if state.len() == 2 && state.bytes().all(|byte| byte.is_ascii_hexdigit()) => &mut self.other,
                _ => return None,
            };
            *counted += 1;
        }
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n";

    #[test]
    fn sockets_are_counted_by_state() {
        let line = |state: &str| format!("   0: 0100007F:07E8 00000000:0000 {state} 00000000:00000000 00:00000000\n");
        let text: String = ["0A", "01", "01", "06", "08", "02", "0C"].map(line).concat();
        let states = States { established: 2, listen: 1, time_wait: 1, close_wait: 1, other: 2 };
        assert_eq!(States::default().and(&format!("{HEAD}{text}")), Some(states));
        assert_eq!(states.and(HEAD), Some(states));
        for broken in ["short", &line("zz"), &line("+1"), &line("001")] {
            assert_eq!(States::default().and(&format!("{HEAD}{broken}")), None, "{broken}");
        }
    }
}
