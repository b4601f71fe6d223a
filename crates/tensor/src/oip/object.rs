//! Structs that are objects in JSON, and nothing else.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// A struct that is read from an object alone. By itself, serde also takes an array of its members in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "it is what it wraps")]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Members(PhantomData))
    }
}

struct Members<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members)).map(Object)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Struct<'a> {
        name: &'a str,
        #[serde(borrow)]
        data: &'a RawValue,
    }

    #[test]
    fn an_array_is_no_struct() {
        let read = serde_json::from_str::<Object<Struct<'_>>>;
        let Object(Struct { name, data }) = read(r#"{"data": [1,  2], "name": "x"}"#).expect("an object");
        assert_eq!((name, data.get()), ("x", "[1,  2]"));
        for wrong in [r#"["x", [1]]"#, "null", "1", r#""x""#, "[]"] {
            let error = read(wrong).expect_err(wrong).to_string();
            assert!(error.contains("expected an object"), "{error}");
        }
    }
}
