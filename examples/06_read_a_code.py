"""What is in a merchant's code, what is wrong with it, and which national profile forgives what."""

from paysim.qr import merchant

PROMPTPAY = "00020101021129370016A000000677010111011300668122233335802TH53037646304C273"

code = merchant.decode(PROMPTPAY)
print("profile", code.profile, "- valid:", code.valid)
for path, name, text in code.explain():
    print(f"  {path:<6} {name:<28} {text}")

print("and by EMVCo's rules alone:")
for issue in merchant.decode(PROMPTPAY, mode="strict").issues:
    print(f"  {issue.code:<12} {issue.text}")

fields = {"00": "01", "01": "12", "26": {"00": "com.example.pay", "01": "42"}, "52": "5411", "53": "156"}
fields |= {"54": "23.72", "58": "CN", "59": "TEA HOUSE", "60": "SHANGHAI"}
print("a new one:", merchant.encode(fields))
