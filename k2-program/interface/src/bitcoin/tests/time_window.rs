use std::vec::Vec;

use proptest::prelude::*;

use crate::bitcoin::TimeWindow;
use crate::bitcoin::time_window::MEDIAN_TIME_SPAN;

#[test]
fn there_is_always_a_median() {
    assert_eq!(TimeWindow::from_oldest([]), None);
    assert_eq!(TimeWindow::new(5).median(), 5);
    // Of an even number of times the upper one, as in Core.
    assert_eq!(TimeWindow::from_oldest([5, 9]).unwrap().median(), 9);
    assert_eq!(TimeWindow::from_oldest([9, 5]).unwrap().median(), 9);
    assert_eq!(TimeWindow::from_oldest([9, 5, 7]).unwrap().median(), 7);
}

proptest! {
    #[test]
    fn the_median_is_that_of_sorting(
        times in prop::collection::vec(prop_oneof![0..20_u32, any::<u32>()], 1..60),
    ) {
        let mut window = TimeWindow::new(times[0]);
        for (at, time) in times.iter().enumerate().skip(1) {
            window.push(*time);
            let mut last: Vec<u32> = times[..=at].iter().rev().take(MEDIAN_TIME_SPAN).copied().collect();
            last.sort_unstable();
            prop_assert_eq!(window.median(), last[last.len() / 2]);
        }
        prop_assert_eq!(TimeWindow::from_oldest(times.iter().copied()), Some(window));
    }
}
