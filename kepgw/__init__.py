"""kepgw: a self-hosted KEP (Kayıtlı Elektronik Posta, registered e-mail) gateway."""

__version__ = "0.1.0"
