"""The host names of WeChat Pay: which ones the sandbox answers for, and what lies around them."""

from __future__ import annotations

from typing import Final

__all__ = ["WECHAT_DOMAINS", "WECHAT_HOSTS"]

WECHAT_HOSTS: Final = (
    "api.mch.weixin.qq.com",  # the payment interface
    "api2.mch.weixin.qq.com",  # its twin in another city
    "apihk.mch.weixin.qq.com",  # the same, in Hong Kong
    "api.wechatpay.cn",  # the same under WeChat Pay's own domain
    "api2.wechatpay.cn",  # where wechatpay-java turns when the first does not answer
    "api.weixin.qq.com",  # official accounts and mini-programs: openids, access tokens
    "wx.tenpay.com",  # the H5 payment page
)
"""The hosts that the sandbox stands in for.

Source: WeChat Pay merchant/development/practices/cross-city-disaster-escalation-guidelines (api, api2);
wechatpay-java README "dual-domain" and its Constant (api.wechatpay.cn, api2.wechatpay.cn); WeChat Pay
api_external/en/apis/chapter4_2_1 (apihk); the `h5_url` and openid interfaces (wx.tenpay.com, api.weixin)
"""

WECHAT_DOMAINS: Final = (
    "mch.weixin.qq.com",
    "pay.weixin.qq.com",
    "payapp.weixin.qq.com",
    "action.weixin.qq.com",
    "tenpay.com",
    "wechatpay.cn",
)
"""Domains that are WeChat Pay's with all that lies below: no connection to them ever leaves the sandbox.

Assumed: these; they are where payments, risk keys (fraud.mch), payment pages and merchants' logins live.
"""
