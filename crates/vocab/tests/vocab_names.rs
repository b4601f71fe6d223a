//! Names survive the round trip through text and JSON, and unknown ones are kept or refused as their enum promises.

use vocab::{
    Backend, BrowserName, DeviceKind, FailureKind, Fault, ModelHash, ModelType, PressureLevel, Rung,
};

#[track_caller]
fn check_closed<T>(all: &[T])
where
    T: Copy + std::fmt::Debug + std::fmt::Display + PartialEq + std::str::FromStr<Err = vocab::UnknownName>,
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    for &value in all {
        assert_eq!(value.to_string().parse::<T>(), Ok(value));
        let json = serde_json::to_string(&value).expect("a name is JSON");
        assert_eq!(json, format!("\"{value}\""));
        assert_eq!(serde_json::from_str::<T>(&json).expect("it reads back"), value);
    }
    let error = "no-such-name".parse::<T>().expect_err("it is not in the vocabulary");
    assert!(error.to_string().contains(&all[0].to_string()), "{error} names what is allowed");
}

#[test]
fn closed_names_round_trip_and_refuse_others() {
    check_closed(BrowserName::ALL);
    check_closed(Backend::ALL);
    check_closed(ModelType::ALL);
    check_closed(Fault::ALL);
    check_closed(Rung::ALL);
    check_closed(PressureLevel::ALL);
}

#[test]
fn open_names_keep_what_they_do_not_know() {
    let kind: FailureKind = serde_json::from_str("\"from_the_future\"").expect("any text is a kind");
    assert_eq!(kind, FailureKind::Unknown("from_the_future".to_owned()));
    assert_eq!(serde_json::to_string(&kind).expect("it writes"), "\"from_the_future\"");
    assert_eq!(DeviceKind::from("gpu"), DeviceKind::Gpu);
}

#[test]
fn model_hash_reads_only_64_hex_digits() {
    let text = "00ff".repeat(16);
    let hash: ModelHash = text.parse().expect("64 digits");
    assert_eq!(hash.to_string(), text);
    assert!(text[1..].parse::<ModelHash>().is_err());
    assert!("zz".repeat(32).parse::<ModelHash>().is_err());
    assert!("é".repeat(32).parse::<ModelHash>().is_err());
}
