"""Products and variants as clients describe them. Stock lies on variants only."""

from typing import Annotated, Self

from pydantic import ConfigDict, Field, JsonValue, model_validator

from domain.attributes import Values
from domain.units import PIECE
from domain.values import Barcode, Body, Changes, Code, LongText, Metadata, Money, Name, omitted

#: Variants that may be given while their product is made; more follow one by one.
VARIANTS_MAX = 100
_VARIANT: JsonValue = {
    "sku": "SHIRT-M",
    "name": "Shirt, medium",
    "barcode": "4006381333931",
    "price": "19.90",
}


class NewVariant(Body):
    """One thing with a SKU; without a price it sells at its product's."""

    model_config = ConfigDict(json_schema_extra={"examples": [_VARIANT]})

    sku: Code
    name: Name
    barcode: Barcode | None = Field(
        default=None,
        description="12, 13 or 14 digits are a GTIN, whose check digit must be right; anything"
        " else is a code of your own.",
    )
    price: Money | None = None
    base_unit: Code = Field(default=PIECE, description="What the ledger counts.")
    attributes: Values = Field(default_factory=dict)
    metadata: Metadata = Field(default_factory=dict)


class NewProduct(Body):
    """A product; without ``variants`` it gets one, the default, with the product's SKU and name.

    Of the given variants the first is the default.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"sku": "MUG", "name": "Mug, white", "price": "7.50"},
                {"sku": "SHIRT", "name": "Shirt", "price": "19.90", "variants": [_VARIANT]},
            ]
        }
    )

    sku: Code
    name: Name
    description: LongText | None = None
    price: Money
    variants: Annotated[list[NewVariant], Field(min_length=1, max_length=VARIANTS_MAX)] | None = (
        None
    )
    attributes: Values = Field(default_factory=dict)
    metadata: Metadata = Field(default_factory=dict)

    @model_validator(mode="after")
    def _each_sku_once(self) -> Self:
        skus = [variant.sku for variant in self.variants or ()]
        if len(set(skus)) < len(skus):
            raise ValueError("each variant needs a SKU of its own")
        return self

    def all_variants(self) -> list[NewVariant]:
        """The variants to make, the default first."""
        return self.variants or [NewVariant(sku=self.sku, name=self.name)]


class ProductChanges(Changes):
    """What of a product may be edited; metadata is replaced as a whole, attributes one by one."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"price": "8.00"}]})

    sku: Code = omitted()
    name: Name = omitted()
    description: LongText | None = omitted()
    price: Money = omitted()
    attributes: Values = omitted()
    metadata: Metadata = omitted()


class VariantChanges(Changes):
    """What of a variant may be edited; a null price means the product's again."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"barcode": "4006381333931"}]})

    sku: Code = omitted()
    name: Name = omitted()
    barcode: Barcode | None = omitted()
    price: Money | None = omitted()
    attributes: Values = omitted()
    metadata: Metadata = omitted()
