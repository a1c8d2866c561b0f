//! Bodies of `POST /audit` and `POST /distribution/{round}`: refused, or a submission that reads back as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use orcapool::requests::{AuditRequest, DistributionRequest, SubmissionView};

fuzz_target!(|body: &[u8]| {
    if let Ok(request) = serde_json::from_slice::<AuditRequest>(body) {
        let view = request.submission.view;
        let json = serde_json::to_vec(&view).unwrap();
        assert_eq!(
            serde_json::from_slice::<SubmissionView>(&json).unwrap(),
            view
        );
    }
    if let Ok(request) = serde_json::from_slice::<DistributionRequest>(body) {
        // Memory stays within what was sent.
        assert!(request.submissions.len() <= body.len());
        assert!(
            request
                .rounds
                .is_none_or(|rounds| rounds.len() <= body.len())
        );
    }
});
