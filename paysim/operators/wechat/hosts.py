"""The host names of WeChat Pay: which ones the sandbox answers for, and what lies around them."""

from __future__ import annotations

from typing import Final

__all__ = ["WECHAT_DOMAINS", "WECHAT_HOSTS"]

WECHAT_HOSTS: Final = (
    "api.mch.weixin.qq.com",  # the payment interface
    "api2.mch.weixin.qq.com",  # its twin for failover
    "apihk.mch.weixin.qq.com",  # the same, near Hong Kong
    "api.weixin.qq.com",  # official accounts and mini-programs: openids, access tokens
    "wx.tenpay.com",  # the H5 payment page
)
"""The hosts that the sandbox stands in for.

Source: WeChat Pay merchant/4012081606 (main and backup domain); wechatpay-java 0.2.17 (api2); facts of the H5
and mini-program interfaces. Assumed: apihk, from the documentation of the global gateway.
"""

WECHAT_DOMAINS: Final = ("mch.weixin.qq.com", "pay.weixin.qq.com", "tenpay.com", "wechatpay.cn")
"""Domains that are WeChat Pay's with all that lies below: no connection to them ever leaves the sandbox.

Assumed: these four; they are where payments, merchants' logins and callbacks live.
"""
