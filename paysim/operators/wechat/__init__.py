"""WeChat Pay: APIv3 as a machine, requests in, answers and facts out."""
