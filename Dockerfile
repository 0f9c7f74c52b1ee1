# The demo in a container: docker build -t segmodels . && docker run --rm -p 7860:7860 segmodels
FROM python:3.12-slim
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu -r requirements.txt
COPY app.py LICENSE ./
COPY assets assets
COPY segmodels segmodels
COPY demo demo
RUN useradd --create-home --uid 1000 demo
USER demo
ENV GRADIO_SERVER_NAME=0.0.0.0
EXPOSE 7860
CMD ["python", "app.py"]
