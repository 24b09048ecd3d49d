# Upscales the photographs of the present folder, on the CPU:
#   docker build -t stea_arch . && docker run --rm -v "$PWD:/photos" stea_arch holidays
FROM python:3.12-slim
WORKDIR /opt/stea_arch
COPY install.sh setup.py pyproject.toml README.md LICENSE ./
COPY options options
COPY data_prep data_prep
COPY stea_arch stea_arch
RUN ./install.sh
ENV PATH=/opt/stea_arch/.venv/bin:$PATH
WORKDIR /photos
ENTRYPOINT ["stea-upscale"]
