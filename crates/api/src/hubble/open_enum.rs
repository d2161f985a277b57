//! An enum field in JSON: its name when the number has one, else the number, so that nothing is lost on the way.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, IntoDeserializer, Visitor},
};

/// The number of a value of the enum `E`, which need not be one that `E` knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenEnum<E> {
    number: i32,
    names: PhantomData<E>,
}

impl<E> OpenEnum<E> {
    /// A value by its number on the wire.
    pub fn new(number: i32) -> Self {
        Self {
            number,
            names: PhantomData,
        }
    }

    /// The number on the wire.
    pub fn number(&self) -> i32 {
        self.number
    }
}

impl<E: TryFrom<i32> + Serialize> Serialize for OpenEnum<E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match E::try_from(self.number) {
            Ok(known) => known.serialize(serializer),
            Err(_) => serializer.serialize_i32(self.number),
        }
    }
}

struct NameOrNumber<E>(PhantomData<E>);

impl<'de, E: Deserialize<'de> + Into<i32>> Visitor<'de> for NameOrNumber<E> {
    type Value = i32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name or a number of the enum")
    }

    fn visit_i64<X: de::Error>(self, number: i64) -> Result<i32, X> {
        i32::try_from(number).map_err(|_| X::invalid_value(de::Unexpected::Signed(number), &self))
    }

    fn visit_u64<X: de::Error>(self, number: u64) -> Result<i32, X> {
        i32::try_from(number).map_err(|_| X::invalid_value(de::Unexpected::Unsigned(number), &self))
    }

    fn visit_str<X: de::Error>(self, name: &str) -> Result<i32, X> {
        E::deserialize(name.into_deserializer()).map(Into::into)
    }
}

impl<'de, E: Deserialize<'de> + Into<i32>> Deserialize<'de> for OpenEnum<E> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(NameOrNumber::<E>(PhantomData))
            .map(Self::new)
    }
}
